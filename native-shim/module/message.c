#include "message.h"

#include "crypt.h"
#include "random.h"

#include <stdlib.h>
#include <string.h>

enum { RANDOM_BITS_MIN = 96, IV_MAX = 128, TAG_MAX = 16 };

/* CK_GCM_MESSAGE_PARAMS */
struct gcm_message {
    CK_BYTE *iv;
    CK_ULONG iv_len;
    CK_ULONG iv_fixed_bits;
    CK_ULONG iv_generator;
    CK_BYTE *tag;
    CK_ULONG tag_bits;
};

static struct sk_message *slot_of(struct sk_entry *e, enum wire_operation kind)
{
    return &e->session->messages[kind == WIRE_DECRYPT];
}

static CK_RV begin(struct sk_entry *e, enum wire_operation kind, const struct gcm_message *g, struct wire_bytes aad,
                   uint64_t key)
{
    CK_GCM_PARAMS params = {g->iv, g->iv_len, g->iv_len * 8, (CK_BYTE *)(uintptr_t)aad.data, aad.length, g->tag_bits};
    CK_MECHANISM m = {CKM_AES_GCM, &params, sizeof(params)};

    return sk_crypt_init(e, kind, &m, key);
}

CK_RV sk_message_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    CK_BYTE iv[12] = {0};
    struct gcm_message any = {.iv = iv, .iv_len = sizeof(iv), .tag_bits = 128};
    struct sk_message *message = slot_of(e, kind);
    bool active;
    CK_RV rv;

    if (!m)
        return sk_message_close(e, kind);
    if (m->mechanism != CKM_AES_GCM)
        return CKR_MECHANISM_INVALID;
    pthread_mutex_lock(&e->session->lock);
    active = message->active;
    pthread_mutex_unlock(&e->session->lock);
    if (active)
        return CKR_OPERATION_ACTIVE;
    rv = begin(e, kind, &any, (struct wire_bytes){NULL, 0}, key);
    if (rv != CKR_OK)
        return rv;
    sk_crypt_cancel(e, kind);
    pthread_mutex_lock(&e->session->lock);
    *message = (struct sk_message){true, key};
    pthread_mutex_unlock(&e->session->lock);
    return CKR_OK;
}

CK_RV sk_message_close(struct sk_entry *e, enum wire_operation kind)
{
    struct sk_message *message = slot_of(e, kind);
    bool active;

    pthread_mutex_lock(&e->session->lock);
    active = message->active;
    *message = (struct sk_message){0};
    pthread_mutex_unlock(&e->session->lock);
    return active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
}

/* Fills what is not fixed, from the left (PKCS#11 3.1, 6.13.3). A counter would be a state that a fork repeats: refused. */
static CK_RV make_iv(struct sk_entry *e, const struct gcm_message *g)
{
    CK_ULONG fixed = g->iv_fixed_bits / 8;

    if (g->iv_generator == CKG_NO_GENERATE)
        return CKR_OK;
    if (g->iv_generator != CKG_GENERATE && g->iv_generator != CKG_GENERATE_RANDOM)
        return CKR_MECHANISM_PARAM_INVALID;
    if (g->iv_fixed_bits % 8 || g->iv_len > IV_MAX || fixed > g->iv_len || (g->iv_len - fixed) * 8 < RANDOM_BITS_MIN)
        return CKR_MECHANISM_PARAM_INVALID;
    return sk_random(e, g->iv + fixed, g->iv_len - fixed);
}

static CK_RV seal(struct sk_entry *e, struct wire_bytes in, CK_BYTE *room, const struct gcm_message *g, CK_BYTE *out)
{
    CK_ULONG tag = g->tag_bits / 8, length = in.length + tag;
    CK_RV rv = sk_crypt_single(e, WIRE_ENCRYPT, in.data, in.length, room, &length);

    if (rv == CKR_OK && length != in.length + tag)
        rv = CKR_GENERAL_ERROR;
    if (rv != CKR_OK)
        return rv;
    if (in.length)
        memcpy(out, room, in.length);
    memcpy(g->tag, room + in.length, tag);
    return CKR_OK;
}

static CK_RV open_to(struct sk_entry *e, struct wire_bytes in, CK_BYTE *room, const struct gcm_message *g, CK_BYTE *out)
{
    CK_ULONG tag = g->tag_bits / 8, length = in.length;
    CK_BYTE nothing;
    CK_RV rv;

    if (in.length)
        memcpy(room, in.data, in.length);
    memcpy(room + in.length, g->tag, tag);
    rv = sk_crypt_single(e, WIRE_DECRYPT, room, in.length + tag, in.length ? out : &nothing, &length);
    return rv == CKR_ENCRYPTED_DATA_INVALID ? CKR_AEAD_DECRYPT_FAILED : rv;
}

static CK_RV run(struct sk_entry *e, enum wire_operation kind, const struct gcm_message *g, struct wire_bytes aad,
                 struct wire_bytes in, CK_BYTE *out, uint64_t key)
{
    CK_BYTE *room = malloc(in.length + TAG_MAX);
    CK_RV rv = room ? CKR_OK : CKR_HOST_MEMORY;

    if (rv == CKR_OK && kind == WIRE_ENCRYPT)
        rv = make_iv(e, g);
    if (rv == CKR_OK)
        rv = begin(e, kind, g, aad, key);
    if (rv == CKR_OK) {
        rv = kind == WIRE_ENCRYPT ? seal(e, in, room, g, out) : open_to(e, in, room, g, out);
        if (rv != CKR_OK)
            sk_crypt_cancel(e, kind);
    }
    if (room)
        wire_wipe(room, in.length + TAG_MAX);
    free(room);
    return rv;
}

CK_RV sk_message_run(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                     struct wire_bytes aad, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_message message;
    struct gcm_message g;
    CK_ULONG given;
    CK_RV rv;

    pthread_mutex_lock(&e->session->lock);
    message = *slot_of(e, kind);
    pthread_mutex_unlock(&e->session->lock);
    if (!message.active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (!out_len || (!in.data && in.length) || (!aad.data && aad.length))
        return CKR_ARGUMENTS_BAD;
    if (!parameter || parameter_len != sizeof(g))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&g, parameter, sizeof(g));
    if (!g.iv || !g.tag || g.tag_bits > 128)
        return CKR_MECHANISM_PARAM_INVALID;
    given = *out_len;
    *out_len = in.length;
    if (!out && in.length)
        return CKR_OK;
    if (given < in.length)
        return CKR_BUFFER_TOO_SMALL;
    rv = run(e, kind, &g, aad, in, out, message.key);
    return rv;
}
