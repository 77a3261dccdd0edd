#include "key.h"

#include "former.h"
#include "kbkdf.h"
#include "object.h"
#include "tls.h"

#include <string.h>

enum { HEAD_ROOM = 128 };

/* `password`, as the keeper keeps it from the agent; absent in most messages. */
static void write_material(struct wire_writer *w, struct wire_bytes password)
{
    size_t bytes = wire_begin_bytes(w), mark = wire_begin_template(w);

    wire_write_attribute(w, CKA_VALUE, password.data, password.length);
    wire_end_template(w, mark, 1);
    wire_end_bytes(w, bytes);
}

CK_RV sk_key_begin(struct sk_call *c, const struct sk_entry *e, enum wire_message type, const CK_MECHANISM *m, uint32_t can,
                   size_t more)
{
    struct wire_bytes password = {NULL, 0};
    struct sk_mechanism packed;
    CK_RV rv = sk_mechanism_pack(m, can, &packed);

    if (rv != CKR_OK)
        return rv;
    if (type == WIRE_password_key && !sk_mechanism_password(m, &password)) {
        sk_mechanism_clear(&packed);
        return CKR_MECHANISM_PARAM_INVALID;
    }
    sk_call_begin(c, e, type, HEAD_ROOM + packed.length + password.length + more);
    if (type == WIRE_password_key)
        write_material(&c->w, password);
    sk_call_place(c);
    sk_mechanism_write(&c->w, &packed);
    sk_mechanism_clear(&packed);
    return CKR_OK;
}

/* What C_GenerateKey asks of the agent: with a password, or for as long as a search may take, it is another message. */
static enum wire_message generating(const CK_MECHANISM *m)
{
    const struct wire_mechanism *row = m ? wire_mechanism_find(m->mechanism) : NULL;

    if (row && row->engine == ENGINE_pbkdf2)
        return WIRE_password_key;
    return row && row->engine == ENGINE_domain ? WIRE_generate_domain : WIRE_generate_key;
}

CK_RV sk_key_generate(struct sk_entry *e, const CK_MECHANISM *m, const CK_ATTRIBUTE *attributes, CK_ULONG count,
                      CK_OBJECT_HANDLE *out)
{
    struct sk_call c;
    CK_RV rv;

    if (!out)
        return CKR_ARGUMENTS_BAD;
    rv = sk_key_begin(&c, e, generating(m), m, CAN_GENERATE, sk_template_room(attributes, count));
    return rv == CKR_OK ? sk_object_make(&c, attributes, count, SK_PART_ALL, out) : rv;
}

static CK_RV read_pair(struct sk_call *c, CK_OBJECT_HANDLE *public_out, CK_OBJECT_HANDLE *private_out)
{
    uint64_t first = wire_read_u64(&c->r), second = wire_read_u64(&c->r);
    CK_RV rv;

    c->r.bad = c->r.bad || !first || !second;
    rv = sk_call_finish(c);
    if (rv == CKR_OK) {
        sk_former_told(c->entry, (uint64_t[]){first, second}, 2);
        *public_out = first;
        *private_out = second;
    }
    return rv;
}

CK_RV sk_key_generate_pair(struct sk_entry *e, const CK_MECHANISM *m, const CK_ATTRIBUTE *public_attributes,
                           CK_ULONG public_count, const CK_ATTRIBUTE *private_attributes, CK_ULONG private_count,
                           CK_OBJECT_HANDLE *public_out, CK_OBJECT_HANDLE *private_out)
{
    struct sk_call c;
    CK_RV rv;

    if (!public_out || !private_out)
        return CKR_ARGUMENTS_BAD;
    rv = sk_key_begin(&c, e, WIRE_generate_key_pair, m, CAN_GENERATE_PAIR,
                      sk_template_room(public_attributes, public_count) + sk_template_room(private_attributes, private_count));
    if (rv != CKR_OK)
        return rv;
    rv = sk_template_write(&c.w, public_attributes, public_count, SK_PART_ALL);
    if (rv == CKR_OK)
        rv = sk_template_write(&c.w, private_attributes, private_count, SK_PART_ALL);
    if (rv == CKR_OK)
        rv = sk_call_run(&c);
    if (rv == CKR_OK)
        rv = read_pair(&c, public_out, private_out);
    sk_call_end(&c);
    if (rv == CKR_OK) {
        sk_object_made(e, public_attributes, public_count);
        sk_object_made(e, private_attributes, private_count);
    }
    return rv;
}

/* The length is known when it is done: to ask for it wraps the key and drops the result, which has no other effect. */
CK_RV sk_key_wrap(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key, CK_BYTE *out,
                  CK_ULONG *out_len)
{
    struct wire_bytes wrapped = {NULL, 0};
    struct sk_call c;
    CK_RV rv;

    if (!out_len)
        return CKR_ARGUMENTS_BAD;
    rv = sk_key_begin(&c, e, WIRE_wrap_key, m, CAN_WRAP, 0);
    if (rv != CKR_OK)
        return rv;
    wire_write_u64(&c.w, sk_former_check(e, by));
    wire_write_u64(&c.w, sk_former_check(e, key));
    rv = sk_call_run(&c);
    if (rv == CKR_OK) {
        wrapped = wire_read_bytes(&c.r, WIRE_BODY_MAX);
        rv = sk_call_finish(&c);
    }
    if (rv == CKR_OK && out && *out_len < wrapped.length)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv == CKR_OK && out && wrapped.length)
        memcpy(out, wrapped.data, wrapped.length);
    if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)
        *out_len = wrapped.length;
    sk_call_end(&c);
    return rv;
}

CK_RV sk_key_unwrap(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, const CK_BYTE *wrapped,
                    CK_ULONG wrapped_len, const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_call c;
    CK_RV rv;

    if (!out || (!wrapped && wrapped_len))
        return CKR_ARGUMENTS_BAD;
    if (wrapped_len == 0 || wrapped_len > WIRE_BLOB_MAX)
        return CKR_WRAPPED_KEY_LEN_RANGE;
    rv = sk_key_begin(&c, e, WIRE_unwrap_key, m, CAN_UNWRAP, wrapped_len + sk_template_room(attributes, count));
    if (rv != CKR_OK)
        return rv;
    wire_write_u64(&c.w, sk_former_check(e, by));
    wire_write_bytes(&c.w, wrapped, wrapped_len);
    return sk_object_make(&c, attributes, count, SK_PART_ALL, out);
}

CK_RV sk_key_derive(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
                    CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    const struct wire_mechanism *row = m ? wire_mechanism_find(m->mechanism) : NULL;
    struct sk_mechanism packed;
    CK_RV rv;

    if (row && row->type == CKM_TLS_PRF)
        return sk_tls_prf(e, m, base);
    if (row && row->layout == LAYOUT_tls_keys)
        return sk_tls_keys(e, m, base, attributes, count);
    if (!out)
        return CKR_ARGUMENTS_BAD;
    if (row && row->layout == LAYOUT_tls_master)
        return sk_tls_master(e, m, base, attributes, count, out);
    if (row && row->layout == LAYOUT_kbkdf)
        return sk_kbkdf(e, m, base, attributes, count, out);
    rv = sk_mechanism_pack(m, CAN_DERIVE, &packed);
    if (rv != CKR_OK)
        return rv;
    if (sk_former_check(e, sk_mechanism_other_key(m)) != sk_mechanism_other_key(m))
        rv = CKR_OBJECT_HANDLE_INVALID;
    else
        rv = sk_key_derive_packed(e, &packed, base, attributes, count, out);
    sk_mechanism_clear(&packed);
    return rv;
}

CK_RV sk_key_derive_packed(struct sk_entry *e, const struct sk_mechanism *packed, CK_OBJECT_HANDLE base,
                           const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_call c;

    sk_call_begin(&c, e, WIRE_derive_key, HEAD_ROOM + packed->length + sk_template_room(attributes, count));
    sk_call_place(&c);
    sk_mechanism_write(&c.w, packed);
    wire_write_u64(&c.w, sk_former_check(e, base));
    return sk_object_make(&c, attributes, count, SK_PART_ALL, out);
}
