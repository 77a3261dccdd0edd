/* The two sockets: made or inherited, and who comes in through them. */
#ifndef SIDEKEY_KEEPER_LISTEN_H
#define SIDEKEY_KEEPER_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "state.h"

/* A listening socket at `path` with exactly that mode. A stale socket is replaced, one that answers is not. -1 with a reason
 * in `why`. */
int kp_listen_open(const char *path, mode_t mode, char *why, size_t size);

/* The socket that systemd passed under this name, or -1. */
int kp_listen_inherited(const char *name);

/* Accepts whatever waits. The kernel says who the peer is; the control socket takes root and our own uid alone. False: there are
 * no descriptors, so that clients in the queue go on waiting. */
bool kp_listen_accept(int fd, enum kp_kind kind);

#endif
