#include "phase.h"

#include "stream.h"

bool sk_phase_enter(struct sk_session *s, enum wire_operation kind, enum sk_phase from, enum sk_phase *seen)
{
    *seen = from;
    return atomic_compare_exchange_strong_explicit(&s->phase[kind], seen, SK_BUSY, memory_order_acquire,
                                                   memory_order_relaxed);
}

void sk_phase_leave(struct sk_session *s, enum wire_operation kind, enum sk_phase to)
{
    atomic_store_explicit(&s->phase[kind], to, memory_order_release);
}

CK_RV sk_operation_take(struct sk_session *s, enum wire_operation kind, struct sk_operation **out)
{
    enum sk_phase seen;
    bool taken = sk_phase_enter(s, kind, SK_READY, &seen);

    *out = taken ? &s->operations[kind] : NULL;
    if (taken)
        return CKR_OK;
    return seen == SK_IDLE ? CKR_OPERATION_NOT_INITIALIZED : CKR_OPERATION_ACTIVE;
}

/* A key that went after Init, by a logout or C_DestroyObject, as the agent says it, or as a keeper does that gave the operation up
 * while its connection held: these functions have no code for a key. One that went with its keeper is the device's. */
static CK_RV told(const struct sk_entry *e, enum wire_operation kind, const struct sk_operation *op, CK_RV rv)
{
    uint64_t epoch, generation;

    if (rv != CKR_KEY_HANDLE_INVALID && rv != CKR_DEVICE_REMOVED)
        return rv;
    generation = sk_link_generation(&e->state->link, &epoch);
    if (rv == CKR_KEY_HANDLE_INVALID)
        return e->session->bound[kind].generation == generation ? CKR_OPERATION_NOT_INITIALIZED : CKR_DEVICE_REMOVED;
    return op->key && op->generation && op->generation == generation ? CKR_OPERATION_NOT_INITIALIZED : rv;
}

CK_RV sk_operation_give_back(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, CK_RV rv, bool going)
{
    const CK_RV answer = told(e, kind, op, rv);
    const bool ended = rv == CKR_BUFFER_TOO_SMALL ? false : rv != CKR_OK || !going;

    if (ended) {
        sk_stream_cancel(e, kind, op);
        sk_operation_clear(op);
    }
    sk_phase_leave(e->session, kind, ended ? SK_IDLE : SK_READY);
    return answer;
}

/* What may not follow a single-part call that only asked for a length. C_SignFinal may: `pkcs11-tool --test-ec` does it. */
static bool ends_question(const struct sk_operation *op, enum sk_step step)
{
    return step == SK_STEP_UPDATE || (step == SK_STEP_FINAL && op->mechanism.row->flags & CAN_DIGEST);
}

CK_RV sk_step_check(const struct sk_operation *op, enum sk_step step)
{
    if (op->login_waiting)
        return CKR_USER_NOT_LOGGED_IN;
    if (op->result_of != SK_STEP_NONE && op->result_of != step)
        return CKR_OPERATION_ACTIVE;
    if (step == SK_STEP_SINGLE)
        return op->parts ? CKR_OPERATION_ACTIVE : CKR_OK;
    return op->asked && ends_question(op, step) ? CKR_OPERATION_ACTIVE : CKR_OK;
}
