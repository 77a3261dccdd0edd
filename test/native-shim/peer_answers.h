/*
 * What the stand-in for the keeper answers to each message. peer.c has the connections and the faults.
 */
#ifndef SIDEKEY_TEST_PEER_ANSWERS_H
#define SIDEKEY_TEST_PEER_ANSWERS_H

#include "peer.h"

enum { PEER_OPERATIONS = 64 };

struct operation;

struct peer_client {
    int fd, index;
    bool greeted;
    struct operation *operations[PEER_OPERATIONS];
};

/* Reads a request's body and writes its reply's. Returns the reply's status. */
uint16_t peer_answer(struct peer_client *c, uint16_t type, struct wire_reader *r, struct wire_writer *w);

/* Parts of requests that several have. */
void peer_read_place(struct wire_reader *r);
uint64_t peer_read_mechanism(struct wire_reader *r);

/* peer_objects.c: each reads its request to the end and writes the reply's body. */
uint16_t peer_find(struct wire_reader *r, struct wire_writer *w);
uint16_t peer_get_attributes(struct wire_reader *r, struct wire_writer *w);
uint16_t peer_object_size(struct wire_reader *r, struct wire_writer *w);
uint16_t peer_create(struct wire_reader *r, struct wire_writer *w);
uint16_t peer_generate(struct wire_reader *r, struct wire_writer *w);

/* Frees the operations of a client that is gone. */
void peer_forget(struct peer_client *c);

/* The request is not as the contract has it. */
void peer_complain(const char *what);

#endif
