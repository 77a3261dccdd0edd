/*
 * A descriptor that its owner may lose: the host closes numbers that it does not know and opens files of its own behind
 * them. So the file behind the number is remembered, and asked for before each use.
 */
#ifndef SIDEKEY_MODULE_DESCRIPTOR_H
#define SIDEKEY_MODULE_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct sk_descriptor {
    int fd; /* -1: none */
    dev_t device;
    ino_t inode;
};

/* Takes the descriptor over, away from 0 to 2 (hosts print there). False: it was closed, out of descriptors. */
bool sk_descriptor_take(struct sk_descriptor *d, int fd);

/* Whether the number still means the file that was taken. */
bool sk_descriptor_alive(const struct sk_descriptor *d);

/* Closes it if it is still ours. */
void sk_descriptor_close(struct sk_descriptor *d);

/* False: `fd` is not open. */
bool sk_file_of(int fd, struct stat *file);

#endif
