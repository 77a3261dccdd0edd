/*
 * The beginning and end of every function of the API: it checks that the module is initialised, finds the session, and writes
 * a line to the trace. sk_leave must be called after sk_enter or sk_enter_session, also if that failed.
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

/* Holds the state until sk_leave. CKR_OK or CKR_CRYPTOKI_NOT_INITIALIZED. */
CK_RV sk_enter(struct sk_entry *e, const char *function);

/* Holds the session as well. Also CKR_SESSION_HANDLE_INVALID. */
CK_RV sk_enter_session(struct sk_entry *e, const char *function, CK_SESSION_HANDLE session);

/* Gives back state and session, and returns `rv`. The state may be emptied by this call. */
CK_RV sk_leave(struct sk_entry *e, CK_RV rv);

/* Notes a mechanism, which may be NULL. */
void sk_note_mechanism(struct sk_entry *e, const CK_MECHANISM *m);

#endif
