/* Reads frames from a connection's socket, in as many pieces as they come, within the memory that its uid may hold. */
#ifndef SIDEKEY_KEEPER_READ_H
#define SIDEKEY_KEEPER_READ_H

#include "state.h"

/* A whole frame; a part of one, which is kept for the next event; no memory for it now; the connection is over. */
enum kp_reading { KP_READ_FRAME, KP_READ_PART, KP_READ_HUNGRY, KP_READ_END };

/* One frame: its header, and its body (at most WIRE_BODY_MAX) in `in`. By the thread that reads `conn`. */
enum kp_reading kp_read_frame(struct kp_conn *conn, uint8_t *in, struct wire_header *h);

#endif
