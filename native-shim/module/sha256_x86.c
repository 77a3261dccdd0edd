/* The compression of SHA-256 by the SHA instructions of x86 (Intel's manual, volume 2, SHA256RNDS2). */
#include "sha256.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

enum { SSSE3 = 1 << 9, SSE4_1 = 1 << 19, SHA = 1 << 29, GROUPS = 16 };

static bool ask_processor(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (SSSE3 | SSE4_1)) != (SSSE3 | SSE4_1))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & SHA);
}

/* In a virtual machine the question takes a microsecond. */
bool sk_sha256_is_fast(void)
{
    enum { UNKNOWN, FAST, SLOW };
    static atomic_int known = UNKNOWN;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);

    if (answer == UNKNOWN) {
        answer = ask_processor() ? FAST : SLOW;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == FAST;
}

/* FIPS 180-4, 4.2.2 */
static const uint32_t constants[4 * GROUPS] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* Four rounds of one group of words and constants. */
#define FOUR_ROUNDS(abef, cdgh, words, group)                                                                                  \
    do {                                                                                                                       \
        __m128i sum = _mm_add_epi32(words, _mm_load_si128((const __m128i *)&constants[4 * (group)]));                          \
                                                                                                                               \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);                                                                         \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));                                                \
    } while (0)

/* The instructions want the state as a, b, e, f and c, d, g, h. */
__attribute__((target("sha,sse4.1,ssse3"))) void sk_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba = _mm_loadu_si128((const __m128i *)state), hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i badc = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, efgh, 8), cdgh = _mm_blend_epi16(efgh, badc, 0xf0);

    for (; count > 0; count--, data += SHA256_BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];

#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
            FOUR_ROUNDS(abef, cdgh, w[i], i);
        }
#pragma GCC unroll 12
        for (int i = 4; i < GROUPS; i++) {
            __m128i *at = &w[i % 4], before = w[(i + 3) % 4];
            __m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(*at, w[(i + 1) % 4]), _mm_alignr_epi8(before, w[(i + 2) % 4], 4));

            *at = _mm_sha256msg2_epu32(next, before);
            FOUR_ROUNDS(abef, cdgh, *at, i);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    badc = _mm_shuffle_epi32(cdgh, 0xb1);
    efgh = _mm_shuffle_epi32(abef, 0x1b);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(efgh, badc, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(badc, efgh, 8));
}

#else

bool sk_sha256_is_fast(void) { return false; }

/* Nobody comes here: see sk_sha256_is_fast. */
void sk_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t count)
{
    (void)state, (void)data, (void)count;
}

#endif
