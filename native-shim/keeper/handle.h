/*
 * One message, one handler, one table. A request is a header and a body, whatever carried them: nothing here knows of
 * sockets.
 */
#ifndef SIDEKEY_KEEPER_HANDLE_H
#define SIDEKEY_KEEPER_HANDLE_H

#include "ring.h"
#include "state.h"

struct kp_request {
    struct kp_conn *from;
    struct wire_header header;
    struct wire_reader body;
    struct wire_bytes whole;  /* the same, unread */
    struct wire_writer *reply; /* of the body */
    unsigned attempts;        /* times it was resumed */
    uint64_t leave;           /* of the agent, for this use; 0: none, or it does not ask how it ends */
    struct kp_straight straight; /* of a request that a worker took from the ring */
    unsigned slot;            /* of the ring that it came by, from 1; 0: the socket */
    struct kp_op *lasting;    /* room for an operation that is ended after its reply was sent; NULL: ended before */
    bool lasts;               /* there is one in it */
};

enum {
    KP_LATER = -1, /* parked, or an event: no reply now */
    KP_BROKEN = -2 /* the frame breaks the format: the connection ends */
};

/* What handlers give: a wire_status, KP_LATER or KP_BROKEN. Called without kp_lock. */
typedef int kp_handler(struct kp_request *r);

/* Runs one request and sends its reply. `out` is WIRE_HEADER_BYTES + WIRE_BODY_MAX of arena memory, wiped afterwards as far
 * as it was written. Ends the connection when the frame breaks the format. */
void kp_handle(struct kp_conn *from, const struct wire_header *header, struct wire_bytes body, uint8_t *out);

/* The same for a request that came by a slot of the ring; what is to be wiped of `out` is the caller's, who asks once for
 * many. */
void kp_handle_slot(struct kp_conn *from, unsigned slot, const struct wire_header *header, struct wire_bytes body,
                    uint8_t *out, size_t *dirty);

/* A parked request runs again: as kp_handle, for the module's own frame, which came by `slot` (from 1) or by the socket. */
struct kp_parked;
void kp_handle_again(struct kp_conn *from, const struct kp_parked *parked, uint64_t leave, uint8_t *out);

/* Whether the next frame of the connection may be read only after this one was handled: the agent's `bind` must be done
 * before its answer to `resolve` is. */
bool kp_handle_in_order(const struct kp_conn *from, const struct wire_header *header);

/* Parts of bodies that several messages share. */
struct kp_place {
    uint64_t slot, session;
    uint8_t read_write;
};
void kp_read_place(struct wire_reader *r, struct kp_place *out);
void kp_read_mechanism(struct wire_reader *r, uint64_t *type, struct wire_bytes *params);

/* Handlers by file: module.c, operate.c, operate_many.c, route.c, agent.c, command.c. */
kp_handler kp_on_hello, kp_on_ring, kp_on_agent_ring, kp_on_random, kp_on_bind_check, kp_on_operate, kp_on_route, kp_on_agent_reply;
kp_handler kp_on_attach, kp_on_mechanism_table, kp_on_state, kp_on_client_list, kp_on_client_note, kp_on_cell_list,
    kp_on_usage, kp_on_shutdown, kp_on_bind, kp_on_unbind;
kp_handler kp_on_cell_generate, kp_on_cell_import, kp_on_cell_open, kp_on_cell_unwrap, kp_on_cell_derive, kp_on_cell_copy,
    kp_on_cell_seal, kp_on_cell_wrap, kp_on_cell_note, kp_on_cell_drop, kp_on_cell_operate, kp_on_cell_encapsulate,
    kp_on_cell_decapsulate, kp_on_cell_operate_many;

#endif
