#include "descriptor.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST_OWN_NUMBER = 3 };

/* fstat(2), which the C library has as a function since glibc 2.33 alone. */
bool sk_file_of(int fd, struct stat *file) { return syscall(SYS_fstat, fd, file) == 0; }

bool sk_descriptor_take(struct sk_descriptor *d, int fd)
{
    struct stat file;
    int moved = fd;

    d->fd = -1;
    if (fd < 0)
        return false;
    if (fd < FIRST_OWN_NUMBER) {
        moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN_NUMBER);
        close(fd);
    }
    if (moved < 0)
        return false;
    if (!sk_file_of(moved, &file)) {
        close(moved);
        return false;
    }
    *d = (struct sk_descriptor){moved, file.st_dev, file.st_ino};
    return true;
}

bool sk_descriptor_alive(const struct sk_descriptor *d)
{
    struct stat file;

    return d->fd >= 0 && sk_file_of(d->fd, &file) && file.st_dev == d->device && file.st_ino == d->inode;
}

void sk_descriptor_close(struct sk_descriptor *d)
{
    if (sk_descriptor_alive(d))
        close(d->fd);
    d->fd = -1;
}
