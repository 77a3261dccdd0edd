#include "arena_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

enum { GUARD = 65536 }; /* a multiple of every page size: 4, 16 and 64 KiB */

/* Address space for the arena between two guards that cannot be accessed; the arena is mapped over its middle later. */
static char *reserve(size_t length)
{
    void *at = mmap(NULL, length + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : (char *)at + GUARD;
}

/* The kernel checks RLIMIT_MEMLOCK for the whole length when the region is mapped. */
static void *map_secret(char *at, size_t length)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    void *mapped = NULL;
    int error;

    if (fd < 0)
        return NULL;
    if (ftruncate(fd, (off_t)length) == 0)
        mapped = mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    error = errno;
    close(fd);
    errno = error;
    return mapped == MAP_FAILED ? NULL : mapped;
}

static void *map_locked(char *at, size_t length)
{
    void *mapped = mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (mapped == MAP_FAILED || mlock(mapped, length) != 0)
        return NULL;
    if (madvise(mapped, length, MADV_DONTDUMP) != 0 || madvise(mapped, length, MADV_WIPEONFORK) != 0)
        return NULL;
    return mapped;
}

void *kp_map_locked(size_t length, bool secret, enum kp_arena_kind *kind)
{
    char *at = reserve(length);
    void *mapped = NULL;

    if (!at)
        return NULL;
    if (secret)
        mapped = map_secret(at, length);
    *kind = mapped ? KP_ARENA_SECRET : KP_ARENA_LOCKED;
    return mapped ? mapped : map_locked(at, length);
}

void kp_arena_explain(int error, char *text, size_t size)
{
    struct rlimit limit = {0, 0};
    const rlim_t needed = 8192 * 1024;

    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur >= needed)
        snprintf(text, size,
                 "cannot lock %d KiB of memory (%s), though RLIMIT_MEMLOCK would allow it: either other processes of this user have "
                 "locked memory as well, or a filter of system calls stands above this one. systemd-nspawn: "
                 "--system-call-filter='@memlock memfd_secret'; containers: a seccomp profile that has mlock",
                 KP_ARENA_BYTES / 1024, strerror(error));
    else
        snprintf(text, size,
                 "cannot lock %d KiB of memory (%s): the limit RLIMIT_MEMLOCK is %llu KiB and must be at least 8192 KiB. "
                 "systemd: LimitMEMLOCK=8M in the unit; docker: --ulimit memlock=8388608:8388608; shell: ulimit -l 8192 "
                 "(a hard limit is raised in /etc/security/limits.d)",
                 KP_ARENA_BYTES / 1024, error == EAGAIN || error == ENOMEM || error == EPERM ? "over the limit" : "refused",
                 (unsigned long long)limit.rlim_cur / 1024);
}
