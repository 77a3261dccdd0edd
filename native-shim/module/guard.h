/*
 * What every function of the API begins and ends with: is the module initialised, whose session is it, and a line of
 * trace. Whoever entered leaves, whatever enter answered.
 */
#ifndef SIDEKEY_MODULE_GUARD_H
#define SIDEKEY_MODULE_GUARD_H

#include "process.h"
#include "session.h"

struct sk_entry {
    const char *function;
    struct sk_state *state;
    struct sk_session *session;
    bool by_session; /* the session holds the state */
    /* for the trace alone */
    CK_SESSION_HANDLE handle;
    CK_MECHANISM_TYPE mechanism;
    CK_OBJECT_HANDLE object;
    CK_ULONG in;
    const CK_ULONG *out;
    bool with_mechanism;
};

/* CKR_CRYPTOKI_NOT_INITIALIZED. */
CK_RV sk_enter(struct sk_entry *e, const char *function);

/* Also CKR_SESSION_HANDLE_INVALID. */
CK_RV sk_enter_session(struct sk_entry *e, const char *function, CK_SESSION_HANDLE session);

/* Gives rv back. */
CK_RV sk_leave(struct sk_entry *e, CK_RV rv);

/* Notes a mechanism, which may be NULL. */
void sk_note_mechanism(struct sk_entry *e, const CK_MECHANISM *m);

#endif
