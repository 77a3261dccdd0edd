/*
 * Sessions: numbers that are never 0 and never used twice in a process, found without a lock. A session that is closed stays
 * with the threads that are inside until they leave; its place is used again then, and its memory goes with the state's.
 */
#ifndef SIDEKEY_MODULE_SESSION_H
#define SIDEKEY_MODULE_SESSION_H

#include "cryptoki3.h"
#include "find.h"
#include "lifetime.h"
#include "operation.h"

#include <pthread.h>
#include <stdatomic.h>

/* A key that messages are encrypted, decrypted, signed or verified with, between C_MessageXInit and Final. */
struct sk_message {
    bool active;
    bool begun; /* a message in parts is under way: the session's operation of that kind is its own */
    uint64_t key;
    uint64_t in;                   /* of the message so far */
    struct sk_mechanism mechanism; /* of signatures */
};

enum { SK_SESSIONS_MAX = 65536 };

/* Where an operation is between C_XInit and its end. Busy: it is one thread's, who alone touches it. */
enum sk_phase { SK_IDLE, SK_READY, SK_BUSY };

struct sk_session {
    sk_lifetime inside;
    atomic_ulong handle;
    CK_SLOT_ID slot;
    bool read_write;
    atomic_uint last_status; /* of the last request, for ulDeviceError */
    atomic_bool has_objects; /* it may own session objects */
    _Atomic enum sk_phase phase[WIRE_OPERATIONS];
    struct sk_operation operations[WIRE_OPERATIONS]; /* by phase */
    struct sk_bound bound[WIRE_OPERATIONS];          /* by phase: the last key of each; outlives the session */
    uint64_t begun[WIRE_OPERATIONS];                 /* by phase: counts on through later sessions of this place */
    pthread_mutex_t lock;                            /* of messages and find; never held while waiting */
    struct sk_message messages[WIRE_VERIFY + 1];     /* by operation */
    struct sk_find find;
    struct sk_sessions *all;
    struct sk_session *next_free;
    size_t place;
};

struct sk_sessions;
struct sk_state;

/* Each session holds the state from its opening until the last thread has left it. `near`: the first sessions are those that
 * sk_session_take_near finds, which one state at a time has. */
struct sk_sessions *sk_sessions_new(struct sk_state *state, bool near);
void sk_sessions_free(struct sk_sessions *all);

/* 0 when out of memory or of places. */
CK_SESSION_HANDLE sk_sessions_open(struct sk_sessions *all, CK_SLOT_ID slot, bool read_write);

/* Ends all of them and lets no more be opened. */
void sk_sessions_end(struct sk_sessions *all);

/* A session of that number, for sk_session_return; NULL when it is none of the near ones, whose memory is never given back: without
 * a hold of their state, which they hold. */
struct sk_session *sk_session_take_near(CK_SESSION_HANDLE handle);

/* A session of that number, for sk_session_return; NULL when there is none. */
struct sk_session *sk_session_take(struct sk_sessions *all, CK_SESSION_HANDLE handle);
void sk_session_return(struct sk_session *s);

/* Nobody finds it any more. False: another thread was first. */
bool sk_session_end(struct sk_session *s);

/* The sessions of a slot one after the other, `from` 0 at first, for sk_session_return; NULL when none is left. */
struct sk_session *sk_sessions_next(struct sk_sessions *all, CK_SLOT_ID slot, size_t *from);

/* A number for a new operation, by the thread that it is busy with: no other of this process has it at the keeper. */
uint64_t sk_session_number(struct sk_session *s, enum wire_operation kind);

#endif
