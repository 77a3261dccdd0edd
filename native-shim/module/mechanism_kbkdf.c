/* Parameters of SP 800-108's derivations (PKCS#11 3.1, 6.42.1). */
#include "kbkdf.h"

#include <string.h>

/* CK_PRF_DATA_PARAM */
struct data_param {
    CK_ULONG kind;
    void *value;
    CK_ULONG length;
};

/* CK_SP800_108_COUNTER_FORMAT */
struct counter_format {
    CK_BBOOL little;
    CK_ULONG bits;
};

/* CK_SP800_108_DKM_LENGTH_FORMAT */
struct length_format {
    CK_ULONG method;
    CK_BBOOL little;
    CK_ULONG bits;
};

/* CK_SP800_108_KDF_PARAMS */
struct kdf_params {
    CK_MECHANISM_TYPE prf;
    CK_ULONG count;
    struct data_param *params;
    CK_ULONG key_count;
    struct sk_derived_key *keys;
};

/* CK_SP800_108_FEEDBACK_KDF_PARAMS */
struct feedback_params {
    CK_MECHANISM_TYPE prf;
    CK_ULONG count;
    struct data_param *params;
    CK_ULONG iv_len;
    CK_BYTE *iv;
    CK_ULONG key_count;
    struct sk_derived_key *keys;
};

static bool read_both(const CK_MECHANISM *m, struct feedback_params *out)
{
    struct kdf_params from;

    if (m->mechanism == CKM_SP800_108_FEEDBACK_KDF)
        return sk_read_struct(out, sizeof(*out), m);
    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    *out = (struct feedback_params){from.prf, from.count, from.params, 0, NULL, from.key_count, from.keys};
    return true;
}

bool sk_kbkdf_keys(const CK_MECHANISM *m, struct sk_derived_key **keys, CK_ULONG *count)
{
    struct feedback_params from;

    if (!read_both(m, &from))
        return false;
    *keys = from.keys;
    *count = from.key_count;
    return true;
}

static bool write_field(struct wire_writer *w, const struct data_param *p)
{
    struct counter_format counter = {CK_FALSE, 0};
    struct length_format length = {0, CK_FALSE, 0};
    struct wire_bytes bytes = {NULL, 0};
    bool counts = p->kind == CK_SP800_108_OPTIONAL_COUNTER || (p->kind == CK_SP800_108_ITERATION_VARIABLE && p->length);

    if (counts && (!p->value || p->length != sizeof(counter)))
        return false;
    if (p->kind == CK_SP800_108_DKM_LENGTH && (!p->value || p->length != sizeof(length)))
        return false;
    if (counts)
        memcpy(&counter, p->value, sizeof(counter));
    if (p->kind == CK_SP800_108_DKM_LENGTH)
        memcpy(&length, p->value, sizeof(length));
    if (p->kind == CK_SP800_108_BYTE_ARRAY && !sk_read_view(&bytes, p->value, p->length))
        return false;
    if (p->kind > UINT8_MAX || counter.bits > UINT8_MAX || length.bits > UINT8_MAX || length.method > UINT8_MAX)
        return false;
    wire_write_u8(w, (uint8_t)p->kind);
    wire_write_u8(w, counter.little || length.little);
    wire_write_u8(w, (uint8_t)(counter.bits | length.bits));
    wire_write_u8(w, (uint8_t)length.method);
    wire_write_bytes(w, bytes.data, bytes.length);
    return !w->full;
}

bool sk_read_kbkdf(const CK_MECHANISM *m, uint8_t fields[SK_FIELDS_BYTES], struct wire_params *p)
{
    struct feedback_params from;
    struct wire_writer w;

    if (!read_both(m, &from) || !from.params)
        return false;
    wire_writer_init(&w, fields, SK_FIELDS_BYTES);
    for (CK_ULONG i = 0; i < from.count; i++) {
        struct data_param one;

        memcpy(&one, &from.params[i], sizeof(one));
        if (!write_field(&w, &one))
            return false;
    }
    p->hash = from.prf;
    p->aad = (struct wire_bytes){fields, wire_written(&w)};
    return sk_read_view(&p->iv, from.iv, from.iv_len);
}
