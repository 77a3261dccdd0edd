/*
 * What this process has of the module: nothing before C_Initialize, one state after it, nothing after C_Finalize, and
 * nothing in the child of a fork. Who is inside keeps the state, the last to leave empties it.
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
    struct sk_state *next; /* of those that were ever needed at once */
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

CK_RV sk_process_open(void);
CK_RV sk_process_close(void);

/* The state, for sk_process_release; NULL when there is none. */
struct sk_state *sk_process_hold(void);
void sk_process_release(struct sk_state *state);

/* One of the first sessions, which holds the state; for sk_session_return. NULL: there is none of that number among them. */
struct sk_session *sk_process_session(CK_SESSION_HANDLE handle, struct sk_state **state);

#endif
