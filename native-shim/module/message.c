#include "message.h"

#include "crypt.h"

struct sk_message sk_message_of(struct sk_entry *e, enum wire_operation kind)
{
    struct sk_message message;

    pthread_mutex_lock(&e->session->lock);
    message = e->session->messages[kind];
    pthread_mutex_unlock(&e->session->lock);
    return message;
}

void sk_message_set(struct sk_entry *e, enum wire_operation kind, const struct sk_message *message)
{
    pthread_mutex_lock(&e->session->lock);
    e->session->messages[kind] = *message;
    pthread_mutex_unlock(&e->session->lock);
}

CK_RV sk_message_check(const struct sk_message *message, bool begun)
{
    if (!message->active || (begun && !message->begun))
        return CKR_OPERATION_NOT_INITIALIZED;
    return message->begun && !begun ? CKR_OPERATION_ACTIVE : CKR_OK;
}

CK_RV sk_message_end(struct sk_entry *e, enum wire_operation kind, CK_RV rv)
{
    struct sk_message message = sk_message_of(e, kind);

    message.begun = false;
    message.in = 0;
    sk_message_set(e, kind, &message);
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
