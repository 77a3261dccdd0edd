/*
 * From a socket to a connection that may be used: hello, and the ring where there is one to be had.
 */
#ifndef SIDEKEY_MODULE_DIAL_H
#define SIDEKEY_MODULE_DIAL_H

#include "link.h"

/* Without the link's lock; one thread at a time. The epoch and the keeper's boot number are those of the greeting. */
enum wire_status sk_dial(struct sk_link *l, int64_t deadline, struct sk_connection **out, uint64_t *epoch, uint64_t *boot);

#endif
