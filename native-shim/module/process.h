/*
 * The state of the module in this process: there is none before C_Initialize, after C_Finalize and in the child of a fork.
 * A thread that is inside a function holds the state; the last one to leave after C_Finalize empties it. Any thread may call.
 */
#ifndef SIDEKEY_MODULE_PROCESS_H
#define SIDEKEY_MODULE_PROCESS_H

#include "cryptoki3.h"
#include "descriptor.h"
#include "lifetime.h"
#include "link.h"

#include <stdatomic.h>

struct sk_session;
struct sk_sessions;
struct sk_slots;
struct sk_logins;
struct sk_bindings;
struct sk_answers;
struct sk_former;

struct sk_state {
    sk_lifetime inside;
    struct sk_state *next; /* in the list of all states that were ever in use at the same time */
    atomic_bool used;      /* until it is empty again */
    atomic_uint anew_seen; /* of link.anew */
    struct sk_link link;
    struct sk_sessions *sessions;
    struct sk_slots *slots;
    struct sk_logins *logins;
    struct sk_bindings *bindings;
    struct sk_answers *answers;
    struct sk_former *former;
    struct sk_descriptor trace; /* fd -1: none */
};

/* C_Initialize. CKR_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED or CKR_HOST_MEMORY. */
CK_RV sk_process_open(void);

/* C_Finalize: wakes all waiting threads; does not wait for them. CKR_OK or CKR_CRYPTOKI_NOT_INITIALIZED. */
CK_RV sk_process_close(void);

/* The state, for sk_process_release; NULL when there is none. */
struct sk_state *sk_process_hold(void);
void sk_process_release(struct sk_state *state);

/* One of the first sessions, which holds the state; for sk_session_return. NULL: there is none of that number among them. */
struct sk_session *sk_process_session(CK_SESSION_HANDLE handle, struct sk_state **state);

#endif
