#include "message_gcm.h"

#include "crypt.h"
#include "message.h"
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

static CK_RV begin(struct sk_entry *e, enum wire_operation kind, const struct gcm_message *g, struct wire_bytes aad,
                   uint64_t key)
{
    CK_GCM_PARAMS params = {g->iv, g->iv_len, g->iv_len * 8, (CK_BYTE *)(uintptr_t)aad.data, aad.length, g->tag_bits};
    CK_MECHANISM m = {CKM_AES_GCM, &params, sizeof(params)};

    return sk_crypt_init(e, kind, &m, key);
}

CK_RV sk_gcm_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    CK_BYTE iv[12] = {0};
    struct gcm_message any = {.iv = iv, .iv_len = sizeof(iv), .tag_bits = 128};
    struct sk_message fresh = {.active = true, .key = key};
    CK_RV rv;

    if (!m)
        return sk_message_close(e, kind);
    if (m->mechanism != CKM_AES_GCM)
        return CKR_MECHANISM_INVALID;
    if (sk_message_of(e, kind).active)
        return CKR_OPERATION_ACTIVE;
    rv = begin(e, kind, &any, (struct wire_bytes){NULL, 0}, key);
    if (rv != CKR_OK)
        return rv;
    sk_crypt_cancel(e, kind);
    sk_message_set(e, kind, &fresh);
    return CKR_OK;
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

/* CK_GCM_MESSAGE_PARAMS of the caller's, read once. */
static CK_RV read_parameter(const void *parameter, CK_ULONG length, struct gcm_message *g)
{
    if (!parameter || length != sizeof(*g))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(g, parameter, sizeof(*g));
    return g->iv && g->tag && g->tag_bits <= 8 * TAG_MAX ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

/* CKR_OK with *asked when the caller only wants to know how much room `wanted` bytes need. */
static CK_RV check_room(const CK_BYTE *out, CK_ULONG *out_len, CK_ULONG wanted, bool *asked)
{
    const CK_ULONG room = *out_len;

    *asked = !out && wanted;
    *out_len = wanted;
    return !*asked && room < wanted ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV sk_gcm_run(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                 struct wire_bytes aad, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_message message = sk_message_of(e, kind);
    struct gcm_message g;
    bool asked = false;
    CK_RV rv = sk_message_check(&message, false);

    if (rv == CKR_OK && (!out_len || (!in.data && in.length) || (!aad.data && aad.length)))
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = read_parameter(parameter, parameter_len, &g);
    if (rv == CKR_OK)
        rv = check_room(out, out_len, in.length, &asked);
    return rv == CKR_OK && !asked ? run(e, kind, &g, aad, in, out, message.key) : rv;
}

CK_RV sk_gcm_begin(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                   struct wire_bytes aad)
{
    struct sk_message message = sk_message_of(e, kind);
    struct gcm_message g;
    CK_RV rv = sk_message_check(&message, false);

    if (rv == CKR_OK && !aad.data && aad.length)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = read_parameter(parameter, parameter_len, &g);
    if (rv == CKR_OK && kind == WIRE_ENCRYPT)
        rv = make_iv(e, &g);
    if (rv == CKR_OK)
        rv = begin(e, kind, &g, aad, message.key);
    if (rv != CKR_OK)
        return rv;
    message.begun = true;
    sk_message_set(e, kind, &message);
    return CKR_OK;
}

static CK_RV seal_part(struct sk_entry *e, const struct gcm_message *g, struct wire_bytes in, CK_BYTE *out, bool last)
{
    CK_ULONG length = in.length, tag = g->tag_bits / 8;
    CK_BYTE none;
    CK_RV rv = sk_crypt_update(e, WIRE_ENCRYPT, in.data, in.length, in.length ? out : &none, &length);

    return rv == CKR_OK && last ? sk_crypt_final(e, WIRE_ENCRYPT, g->tag, &tag) : rv;
}

/* The last part is when the tag is looked at, and everything comes out. */
static CK_RV open_part(struct sk_entry *e, const struct gcm_message *g, struct wire_bytes in, CK_BYTE *out,
                       CK_ULONG length, bool last)
{
    CK_BYTE none;
    CK_ULONG nothing = 0;
    CK_RV rv = sk_crypt_update(e, WIRE_DECRYPT, in.data, in.length, &none, &nothing);

    if (rv == CKR_OK && last)
        rv = sk_crypt_update(e, WIRE_DECRYPT, g->tag, g->tag_bits / 8, &none, &nothing);
    if (rv == CKR_OK && last)
        rv = sk_crypt_final(e, WIRE_DECRYPT, length ? out : &none, &length);
    return rv == CKR_ENCRYPTED_DATA_INVALID ? CKR_AEAD_DECRYPT_FAILED : rv;
}

CK_RV sk_gcm_next(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                  struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len, bool last)
{
    struct sk_message message = sk_message_of(e, kind);
    struct gcm_message g;
    bool asked = false;
    CK_ULONG wanted = in.length;
    CK_RV rv = sk_message_check(&message, true);

    if (rv != CKR_OK)
        return rv;
    if (kind == WIRE_DECRYPT)
        wanted = last ? message.in + in.length : 0;
    if (!out_len || (!in.data && in.length))
        return sk_message_end(e, kind, CKR_ARGUMENTS_BAD);
    rv = read_parameter(parameter, parameter_len, &g);
    if (rv != CKR_OK)
        return sk_message_end(e, kind, rv);
    rv = check_room(out, out_len, wanted, &asked);
    if (rv != CKR_OK || asked)
        return rv;
    rv = kind == WIRE_ENCRYPT ? seal_part(e, &g, in, out, last) : open_part(e, &g, in, out, wanted, last);
    message.in += in.length;
    sk_message_set(e, kind, &message);
    return rv != CKR_OK || last ? sk_message_end(e, kind, rv) : CKR_OK;
}
