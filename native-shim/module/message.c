#include "message.h"

#include "crypt.h"

struct sk_message sk_message_of(struct sk_entry *e, enum wire_operation kind)
{
    struct sk_message message;

    pthread_mutex_lock(&e->session->lock);
    message = e->session->messages[kind];
    message.mechanism.far = NULL; /* another thread may free it */
    pthread_mutex_unlock(&e->session->lock);
    return message;
}

CK_RV sk_message_copy(struct sk_entry *e, enum wire_operation kind, struct sk_message *out)
{
    const struct sk_message *place = &e->session->messages[kind];
    CK_RV rv = CKR_OPERATION_NOT_INITIALIZED;

    pthread_mutex_lock(&e->session->lock);
    *out = *place;
    if (place->active)
        rv = sk_mechanism_copy(&place->mechanism, &out->mechanism) ? CKR_OK : CKR_HOST_MEMORY;
    pthread_mutex_unlock(&e->session->lock);
    return rv;
}

CK_RV sk_message_open(struct sk_entry *e, enum wire_operation kind, const struct sk_message *fresh)
{
    struct sk_message *place = &e->session->messages[kind];
    CK_RV rv = CKR_OPERATION_ACTIVE;

    pthread_mutex_lock(&e->session->lock);
    if (!place->active) {
        *place = *fresh;
        rv = CKR_OK;
    }
    pthread_mutex_unlock(&e->session->lock);
    return rv;
}

bool sk_message_move(struct sk_entry *e, enum wire_operation kind, bool begun, uint64_t in)
{
    struct sk_message *place = &e->session->messages[kind];
    bool active;

    pthread_mutex_lock(&e->session->lock);
    active = place->active;
    place->begun = active && begun;
    place->in = active ? in : 0;
    pthread_mutex_unlock(&e->session->lock);
    return active;
}

CK_RV sk_message_check(const struct sk_message *message, bool begun)
{
    if (!message->active || (begun && !message->begun))
        return CKR_OPERATION_NOT_INITIALIZED;
    return message->begun && !begun ? CKR_OPERATION_ACTIVE : CKR_OK;
}

CK_RV sk_message_end(struct sk_entry *e, enum wire_operation kind, CK_RV rv)
{
    sk_message_move(e, kind, false, 0);
    sk_crypt_cancel(e, kind);
    return rv;
}

CK_RV sk_message_close(struct sk_entry *e, enum wire_operation kind)
{
    struct sk_message *place = &e->session->messages[kind], message;

    pthread_mutex_lock(&e->session->lock);
    message = *place;
    *place = (struct sk_message){0}; /* of two threads that close it one has it */
    pthread_mutex_unlock(&e->session->lock);
    if (!message.active)
        return CKR_OPERATION_NOT_INITIALIZED;
    sk_mechanism_clear(&message.mechanism);
    if (message.begun)
        sk_crypt_cancel(e, kind);
    return CKR_OK;
}
