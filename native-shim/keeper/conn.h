/*
 * A connection, whatever carries its frames. It lives in the table from admission to hang-up; who works with it holds a
 * reference, and the descriptor is closed with the last one, so that its number cannot come back under anyone's hands.
 */
#ifndef SIDEKEY_KEEPER_CONN_H
#define SIDEKEY_KEEPER_CONN_H

#include "state.h"

/* Enters the table with one reference, its own; takes the descriptor when it succeeds. NULL: too many, in all or of that
 * uid. Takes kp_lock. fd -1: no socket; what is sent goes to kp_conn_sink (tests, fuzzing). */
struct kp_conn *kp_conn_new(enum kp_kind kind, int fd, const struct kp_peer *peer);
extern void (*kp_conn_sink)(struct kp_conn *conn, const uint8_t *frame, size_t length);

/* Without a reference, kp_lock held. With one; give it back with kp_conn_drop. Both take kp_lock themselves. */
struct kp_conn *kp_conn_peek(uint64_t number);
struct kp_conn *kp_conn_take(uint64_t number);
void kp_conn_hold(struct kp_conn *conn); /* one more, for who has one already */
void kp_conn_drop(struct kp_conn *conn);

/* Ends it and everything that was its own: bindings, operations, cells, parked requests. Takes kp_lock. */
void kp_conn_close(struct kp_conn *conn);

/* Sends a whole frame, or queues what the socket does not take now. -1: nothing was sent and there is no room to wait; the
 * caller answers busy or hangs up. Any thread, kp_lock held or not. */
int kp_conn_send(struct kp_conn *conn, const uint8_t *frame, size_t length);

/* Sends a reply to where its request came from: a slot of the ring (from 1), or 0, the socket. Hangs up when there is no room
 * for it. `there`: see kp_ring_answer. Any thread, kp_lock held or not. */
void kp_conn_answer(struct kp_conn *conn, unsigned slot, const uint8_t *frame, size_t length, size_t there);

/* The same for a reply without a body. */
void kp_conn_reply(struct kp_conn *conn, unsigned slot, const struct wire_header *request, int status);

/* Gives a connection its ring, which it then owns, and sends the reply with the descriptors of its memory and its bell. -1:
 * it has one already, or nothing could be sent; the ring is the caller's still. Takes kp_lock. */
int kp_conn_give_ring(struct kp_conn *conn, struct kp_ring *ring, int memfd, const uint8_t *reply, size_t length);

/* In the number that epoll gives back: the bell of that connection, not its socket. */
#define KP_CONN_BELL ((uint64_t)1 << 63)

/* Hangs up; the loop sees it and closes. */
void kp_conn_hang_up(struct kp_conn *conn);

/* epoll: which set; after each one-shot event; the socket takes more of what waits. */
void kp_conn_epoll(int fd);
bool kp_conn_begin_reading(struct kp_conn *conn);
void kp_conn_end_reading(struct kp_conn *conn, bool hungry);
void kp_conn_flush(struct kp_conn *conn);

/* Between conn.c and conn_send.c. conn->lock held. */

/* The event that is waited for next: while bytes wait to go out nothing more is read. */
void kp_conn_arm(struct kp_conn *conn);

/* Sends two descriptors beside a frame; false when that cannot be now: they have to be the first of what goes out. */
bool kp_conn_send_with(struct kp_conn *conn, const int fds[2], const uint8_t *frame, size_t length);

/* Frees what waits to go out. */
void kp_conn_drop_unsent(struct kp_conn *conn);

/* Connections that waited for memory read again. */
void kp_conns_feed(void);

/* Hangs up on partial frames whose time is over, and on who has long read nothing of what waits; the earliest deadline of the
 * others, or 0. kp_lock held. */
uint64_t kp_conn_expire(uint64_t now_ms);

#endif
