/*
 * LD_PRELOAD into an agent: what a failing disk, a quota or a sudden end does to its writes. The file named by WRITE_FAULTS_CONTROL
 * is mapped and says, at any time, what is to happen to files below WRITE_FAULTS_BELOW.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct control {
    volatile int32_t write_error, sync_error; /* errno; 0: none */
    volatile int32_t kill_at;                 /* the process ends before that many writes and syncs; 0: never */
    volatile int32_t half;                    /* half of the last write is done first */
    volatile int32_t count;
} *control;
static const char *below;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("WRITE_FAULTS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    below = getenv("WRITE_FAULTS_BELOW");
    if (fd < 0 || !below)
        return;
    control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED)
        abort();
    close(fd);
}

static bool is_meant(int fd)
{
    char link[64], path[512];
    ssize_t length;

    if (!control)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof(path) - 1);
    return length > 0 && (size_t)length > strlen(below) && memcmp(path, below, strlen(below)) == 0;
}

static bool is_last(void)
{
    return __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST) == control->kill_at;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITES(name, parameters, all, part)                                                                                  \
    ssize_t name parameters                                                                                                  \
    {                                                                                                                        \
        if (is_meant(fd)) {                                                                                                  \
            if (is_last()) {                                                                                                 \
                if (control->half && size > 1)                                                                               \
                    REAL(name) part;                                                                                         \
                kill(getpid(), SIGKILL);                                                                                     \
            }                                                                                                                \
            if (control->write_error) {                                                                                      \
                errno = control->write_error;                                                                                \
                return -1;                                                                                                   \
            }                                                                                                                \
        }                                                                                                                    \
        return REAL(name) all;                                                                                               \
    }

WRITES(write, (int fd, const void *data, size_t size), (fd, data, size), (fd, data, size / 2))
WRITES(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), (fd, data, size / 2, at))
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), (fd, data, size / 2, at))

#define SYNCS(name)                                                                                                          \
    int name(int fd)                                                                                                         \
    {                                                                                                                        \
        if (is_meant(fd)) {                                                                                                  \
            if (is_last())                                                                                                   \
                kill(getpid(), SIGKILL);                                                                                     \
            if (control->sync_error) {                                                                                       \
                errno = control->sync_error;                                                                                 \
                return -1;                                                                                                   \
            }                                                                                                                \
        }                                                                                                                    \
        return REAL(name)(fd);                                                                                               \
    }

SYNCS(fsync)
SYNCS(fdatasync)
