#include "message_aead.h"

#include "crypt.h"
#include "message.h"
#include "message_parameter.h"
#include "phase.h"

#include <stdlib.h>
#include <string.h>

static CK_MECHANISM_TYPE type_of(const struct sk_message *message) { return message->mechanism.row->type; }

/* OpenSSL takes the data of AES-CCM at once, so that they come out at once. */
static bool is_whole(const struct sk_message *message) { return type_of(message) == CKM_AES_CCM; }

CK_RV sk_aead_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    CK_BYTE iv[12] = {0};
    const struct sk_message_parameter any = sk_message_any(iv);
    struct sk_message fresh = {.active = true, .key = key};
    CK_RV rv;

    if (!m)
        return sk_message_close(e, kind);
    if (!sk_message_has(m->mechanism))
        return CKR_MECHANISM_INVALID;
    if (sk_message_of(e, kind).active)
        return CKR_OPERATION_ACTIVE;
    rv = sk_message_start(e, kind, m->mechanism, &any, (struct wire_bytes){NULL, 0}, key);
    if (rv != CKR_OK)
        return rv;
    sk_crypt_cancel(e, kind);
    fresh.mechanism.row = wire_mechanism_find(m->mechanism);
    return sk_message_open(e, kind, &fresh);
}

static CK_RV seal(struct sk_entry *e, struct wire_bytes in, CK_BYTE *room, const struct sk_message_parameter *g, CK_BYTE *out)
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

static CK_RV open_to(struct sk_entry *e, struct wire_bytes in, CK_BYTE *room, const struct sk_message_parameter *g, CK_BYTE *out)
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

static CK_RV run(struct sk_entry *e, enum wire_operation kind, const struct sk_message_parameter *g, struct wire_bytes aad,
                 struct wire_bytes in, CK_BYTE *out, const struct sk_message *message)
{
    CK_BYTE *room = malloc(in.length + SK_TAG_MAX);
    CK_RV rv = room ? CKR_OK : CKR_HOST_MEMORY;

    if (rv == CKR_OK && kind == WIRE_ENCRYPT)
        rv = sk_message_make_iv(e, g);
    if (rv == CKR_OK)
        rv = sk_message_start(e, kind, type_of(message), g, aad, message->key);
    if (rv == CKR_OK) {
        rv = kind == WIRE_ENCRYPT ? seal(e, in, room, g, out) : open_to(e, in, room, g, out);
        if (rv != CKR_OK)
            sk_crypt_cancel(e, kind);
    }
    if (room)
        wire_wipe(room, in.length + SK_TAG_MAX);
    free(room);
    return rv;
}

/* CKR_OK with *asked when the caller only wants to know how much room `wanted` bytes need. */
static CK_RV check_room(const CK_BYTE *out, CK_ULONG *out_len, CK_ULONG wanted, bool *asked)
{
    const CK_ULONG room = *out_len;

    *asked = !out && wanted;
    *out_len = wanted;
    return !*asked && room < wanted ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV sk_aead_run(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                  struct wire_bytes aad, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_message message = sk_message_of(e, kind);
    struct sk_message_parameter g;
    bool asked = false;
    CK_RV rv = sk_message_check(&message, false);

    if (rv == CKR_OK && (!out_len || !sk_is_readable(in.data, in.length) || !sk_is_readable(aad.data, aad.length)))
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = sk_message_parameter(type_of(&message), parameter, parameter_len, &g);
    if (rv == CKR_OK)
        rv = check_room(out, out_len, in.length, &asked);
    return rv == CKR_OK && !asked ? run(e, kind, &g, aad, in, out, &message) : rv;
}

CK_RV sk_aead_begin(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                    struct wire_bytes aad)
{
    struct sk_message message = sk_message_of(e, kind);
    struct sk_message_parameter g;
    CK_RV rv = sk_message_check(&message, false);

    if (rv == CKR_OK && !sk_is_readable(aad.data, aad.length))
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = sk_message_parameter(type_of(&message), parameter, parameter_len, &g);
    if (rv == CKR_OK && kind == WIRE_ENCRYPT)
        rv = sk_message_make_iv(e, &g);
    if (rv == CKR_OK)
        rv = sk_message_start(e, kind, type_of(&message), &g, aad, message.key);
    if (rv != CKR_OK)
        return rv;
    return sk_message_move(e, kind, true, 0) ? CKR_OK : sk_message_end(e, kind, CKR_OPERATION_NOT_INITIALIZED);
}

static CK_RV seal_part(struct sk_entry *e, const struct sk_message_parameter *g, struct wire_bytes in, CK_BYTE *out, bool last)
{
    CK_ULONG length = in.length, tag = g->tag_bits / 8;
    CK_BYTE none;
    CK_RV rv = sk_crypt_update(e, WIRE_ENCRYPT, in.data, in.length, in.length ? out : &none, &length);

    return rv == CKR_OK && last ? sk_crypt_final(e, WIRE_ENCRYPT, g->tag, &tag) : rv;
}

/* What was gathered, and the tag, come at the end in one piece. */
static CK_RV seal_whole(struct sk_entry *e, const struct sk_message_parameter *g, struct wire_bytes in, CK_BYTE *out,
                        CK_ULONG total, bool last)
{
    CK_ULONG nothing = 0, tag = g->tag_bits / 8, length = total + tag;
    CK_BYTE none, *room;
    CK_RV rv = sk_crypt_update(e, WIRE_ENCRYPT, in.data, in.length, &none, &nothing);

    if (rv != CKR_OK || !last)
        return rv;
    room = malloc(total + SK_TAG_MAX);
    rv = room ? sk_crypt_final(e, WIRE_ENCRYPT, room, &length) : CKR_HOST_MEMORY;
    if (rv == CKR_OK && length != total + tag)
        rv = CKR_GENERAL_ERROR;
    if (rv == CKR_OK && total)
        memcpy(out, room, total);
    if (rv == CKR_OK)
        memcpy(g->tag, room + total, tag);
    free(room);
    return rv;
}

/* The last part is when the tag is looked at, and everything comes out. */
static CK_RV open_part(struct sk_entry *e, const struct sk_message_parameter *g, struct wire_bytes in, CK_BYTE *out,
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

CK_RV sk_aead_next(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                   struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len, bool last)
{
    struct sk_message message = sk_message_of(e, kind);
    struct sk_message_parameter g;
    bool asked = false;
    CK_ULONG wanted = in.length;
    CK_RV rv = sk_message_check(&message, true);

    if (rv != CKR_OK)
        return rv;
    if (kind == WIRE_DECRYPT || is_whole(&message))
        wanted = last ? message.in + in.length : 0;
    if (!out_len || !sk_is_readable(in.data, in.length))
        return sk_message_end(e, kind, CKR_ARGUMENTS_BAD);
    rv = sk_message_parameter(type_of(&message), parameter, parameter_len, &g);
    if (rv != CKR_OK)
        return sk_message_end(e, kind, rv);
    rv = check_room(out, out_len, wanted, &asked);
    if (rv != CKR_OK || asked)
        return rv;
    if (kind == WIRE_DECRYPT)
        rv = open_part(e, &g, in, out, wanted, last);
    else
        rv = is_whole(&message) ? seal_whole(e, &g, in, out, wanted, last) : seal_part(e, &g, in, out, last);
    sk_message_move(e, kind, true, message.in + in.length);
    return rv != CKR_OK || last ? sk_message_end(e, kind, rv) : CKR_OK;
}
