#include "guard.h"

#include "trace.h"

CK_RV sk_enter(struct sk_entry *e, const char *function)
{
    *e = (struct sk_entry){.function = function, .state = sk_process_hold()};
    return e->state ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV sk_enter_session(struct sk_entry *e, const char *function, CK_SESSION_HANDLE session)
{
    CK_RV rv;

    *e = (struct sk_entry){.function = function, .handle = session};
    e->session = sk_process_session(session, &e->state);
    e->by_session = e->session != NULL;
    if (e->by_session)
        return CKR_OK;
    rv = sk_enter(e, function);
    e->handle = session;
    if (rv != CKR_OK)
        return rv;
    e->session = sk_session_take(e->state->sessions, session);
    return e->session ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

CK_RV sk_leave(struct sk_entry *e, CK_RV rv)
{
    if (e->state && e->state->trace.fd >= 0)
        sk_trace_call(e, rv);
    if (e->session)
        sk_session_return(e->session);
    if (e->state && !e->by_session)
        sk_process_release(e->state);
    return rv;
}

void sk_note_mechanism(struct sk_entry *e, const CK_MECHANISM *m)
{
    e->with_mechanism = m != NULL;
    e->mechanism = m ? m->mechanism : 0;
}
