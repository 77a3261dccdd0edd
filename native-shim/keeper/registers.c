#include "registers.h"

/* One instruction for each register that its list names. */
#if defined(__x86_64__)

#define FIRST_VECTORS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LATER_VECTORS(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define NUMBERS(X) X(eax) X(ecx) X(edx) X(esi) X(edi) X(r8d) X(r9d) X(r10d) X(r11d)
#define BY_SSE(n) "pxor %%xmm" #n ", %%xmm" #n "\n\t"
#define BY_AVX512(n) "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
#define BY_XOR(name) "xorl %%" #name ", %%" #name "\n\t"
#define CLOBBERS                                                                                                              \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",        \
        "xmm14", "xmm15"

/* The compiler of this file knows nothing of registers beyond SSE's, and so has nothing in them. */
void kp_registers_wipe(void)
{
    if (__builtin_cpu_supports("avx512f"))
        __asm__ __volatile__(LATER_VECTORS(BY_AVX512) ::);
    if (__builtin_cpu_supports("avx"))
        __asm__ __volatile__("vzeroall" : : : CLOBBERS);
    else
        __asm__ __volatile__(FIRST_VECTORS(BY_SSE) : : : CLOBBERS);
    __asm__ __volatile__(NUMBERS(BY_XOR) : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
}

#elif defined(__aarch64__)

#define VECTORS(X)                                                                                                            \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21)  \
    X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define NUMBERS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define BY_MOVI(n) "movi v" #n ".2d, #0\n\t" /* what SVE has beyond these 128 bits becomes zero with them */
#define BY_MOV(n) "mov x" #n ", xzr\n\t"

void kp_registers_wipe(void)
{
    __asm__ __volatile__(VECTORS(BY_MOVI)
                         :
                         :
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
                           "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
                           "v30", "v31");
    __asm__ __volatile__(NUMBERS(BY_MOV)
                         :
                         :
                         : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15");
}

#else

void kp_registers_wipe(void) {}

#endif
