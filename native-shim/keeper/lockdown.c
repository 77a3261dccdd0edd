#include "lockdown.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../wire/ring.h"

/* Allowed whatever the arguments. Reading and writing concern descriptors that are open already. */
static const int allowed[] = {
    SCMP_SYS(read),          SCMP_SYS(write),           SCMP_SYS(recvfrom),         SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),        SCMP_SYS(sendmsg),         SCMP_SYS(accept4),          SCMP_SYS(getsockopt),
    SCMP_SYS(shutdown),      SCMP_SYS(close),           SCMP_SYS(epoll_wait),       SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),     SCMP_SYS(timerfd_settime), SCMP_SYS(futex),            SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(munmap),           SCMP_SYS(brk),
    SCMP_SYS(madvise),       SCMP_SYS(mremap),          SCMP_SYS(rt_sigprocmask),   SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigtimedwait), SCMP_SYS(restart_syscall),  SCMP_SYS(getpid),
    SCMP_SYS(gettid),        SCMP_SYS(geteuid),         SCMP_SYS(sched_yield),      SCMP_SYS(exit),
    SCMP_SYS(exit_group),    SCMP_SYS(gettimeofday),    SCMP_SYS(time), /* where the vDSO cannot read the clock source */
    SCMP_SYS(getcpu), /* where neither rseq nor the vDSO knows the processor */
    SCMP_SYS(rseq),            SCMP_SYS(set_robust_list), /* a thread that is still starting */
#ifdef SIDEKEY_SANITIZED
    SCMP_SYS(sigaltstack),   SCMP_SYS(openat),          SCMP_SYS(readlink),         SCMP_SYS(getuid),
    SCMP_SYS(prctl),         SCMP_SYS(rt_sigpending),   SCMP_SYS(nanosleep),        SCMP_SYS(getrusage),
    SCMP_SYS(fstat),         SCMP_SYS(newfstatat),      SCMP_SYS(ioctl),            SCMP_SYS(sysinfo),
    SCMP_SYS(open),          SCMP_SYS(mincore),         SCMP_SYS(process_vm_readv), SCMP_SYS(pipe2),
    SCMP_SYS(sched_getaffinity),
#endif
};

int kp_lockdown_early(int keep)
{
    struct rlimit none = {0, 0};

    /* Memory of a second arena of glibc's goes back only after a look into /proc, which the filter answers with death. */
    mallopt(M_ARENA_MAX, 1);
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    if (keep > 3 && syscall(SYS_close_range, 3u, (unsigned)keep - 1, 0u) != 0)
        return -1;
    return (int)syscall(SYS_close_range, keep < 3 ? 3u : (unsigned)keep + 1, ~0u, 0u);
}

/* One kind of shared memory: sealed, of one size, never executed; and its bell. */
static int allow_rings(scmp_filter_ctx filter)
{
    const scmp_datum_t size = sizeof(struct ring_region);
    int error = 0;

    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(memfd_create), 1,
                              SCMP_A1(SCMP_CMP_EQ, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ftruncate), 1, SCMP_A1(SCMP_CMP_EQ, size));
    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS));
    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 3, SCMP_A1(SCMP_CMP_EQ, size),
                              SCMP_A2(SCMP_CMP_EQ, PROT_READ | PROT_WRITE), SCMP_A3(SCMP_CMP_EQ, MAP_SHARED));
    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(eventfd2), 1, SCMP_A1(SCMP_CMP_EQ, EFD_CLOEXEC | EFD_NONBLOCK));
    return error;
}

/* Memory, but no code: anonymous mappings, and no protection that executes. Signals to ourselves only (abort). */
static int allow_with_arguments(scmp_filter_ctx filter)
{
    scmp_datum_t self = (scmp_datum_t)getpid();
    int error = 0;

    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                              SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    error |= allow_rings(filter);
    error |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, self));
    return error ? -1 : 0;
}

int kp_lockdown_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int error = filter ? 0 : -1;

    for (size_t i = 0; !error && i < sizeof(allowed) / sizeof(allowed[0]); i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (!error)
        error = allow_with_arguments(filter);
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!error)
        error = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    errno = error < 0 ? -error : 0;
    return error ? -1 : 0;
}
