/*
 * Sessions: numbers that are never 0 and never used twice in a process, found under short locks. A session is counted:
 * closing it takes it from the table, and the thread that is inside keeps it until it leaves.
 */
#ifndef SIDEKEY_MODULE_SESSION_H
#define SIDEKEY_MODULE_SESSION_H

#include "cryptoki3.h"
#include "find.h"
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

struct sk_session {
    struct sk_session *next;
    CK_SESSION_HANDLE handle;
    CK_SLOT_ID slot;
    bool read_write;
    atomic_uint holders;
    atomic_uint last_status; /* of the last request, for ulDeviceError */
    atomic_bool has_objects; /* it may own session objects */
    pthread_mutex_t lock;    /* of what follows; never held while waiting */
    struct sk_operation operations[WIRE_OPERATIONS];
    struct sk_message messages[WIRE_VERIFY + 1]; /* by operation */
    struct sk_find find;
};

struct sk_sessions;

struct sk_sessions *sk_sessions_new(void);
void sk_sessions_free(struct sk_sessions *all);

/* 0 when out of memory. */
CK_SESSION_HANDLE sk_sessions_open(struct sk_sessions *all, CK_SLOT_ID slot, bool read_write);

/* A session of that number, for sk_session_return; NULL when there is none. */
struct sk_session *sk_session_take(struct sk_sessions *all, CK_SESSION_HANDLE handle);
void sk_session_return(struct sk_session *s);

/* Takes it from the table. False: another thread was first. */
bool sk_sessions_remove(struct sk_sessions *all, struct sk_session *s);

/* Any session of the slot, for sk_session_return; NULL when none is left. */
struct sk_session *sk_sessions_any(struct sk_sessions *all, CK_SLOT_ID slot);

#endif
