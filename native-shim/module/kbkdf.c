#include "kbkdf.h"

#include "key.h"
#include "mechanism.h"
#include "object.h"
#include "template.h"

#include <string.h>

enum { KEYS_MAX = 16 };

/* Lengths of keys whose template need not say them. */
static CK_ULONG length_of_type(CK_KEY_TYPE type)
{
    static const struct {
        CK_KEY_TYPE type;
        CK_ULONG length;
    } rows[] = {{CKK_DES, 8}, {CKK_DES2, 16}, {CKK_DES3, 24}, {CKK_CHACHA20, 32}, {CKK_POLY1305, 32}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].type == type)
            return rows[i].length;
    return 0;
}

/* 0 when the template does not say it. */
static CK_ULONG length_of(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    CK_ULONG length = 0, value;

    for (CK_ULONG i = 0; i < count; i++) {
        if (attributes[i].ulValueLen != sizeof(value) || !attributes[i].pValue)
            continue;
        memcpy(&value, attributes[i].pValue, sizeof(value));
        if (attributes[i].type == CKA_VALUE_LEN)
            return value;
        if (attributes[i].type == CKA_KEY_TYPE)
            length = length_of_type(value);
    }
    return length;
}

/* Where this key lies among all, as the packed parameter begins (wire/params.h). */
static void place(const struct sk_mechanism *packed, CK_ULONG before, CK_ULONG all)
{
    struct wire_writer w;

    wire_writer_init(&w, sk_mechanism_params(packed), packed->length);
    wire_write_u32(&w, (uint32_t)before);
    wire_write_u32(&w, (uint32_t)all);
}

/* The first key is among them. */
static CK_RV measure(const struct sk_derived_key *keys, CK_ULONG count, CK_ULONG *all)
{
    *all = 0;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_ULONG length;

        if ((!keys[i].attributes && keys[i].count) || !keys[i].out)
            return CKR_MECHANISM_PARAM_INVALID;
        if (sk_template_check(keys[i].attributes, keys[i].count) != CKR_OK)
            return CKR_TEMPLATE_INCONSISTENT;
        length = length_of(keys[i].attributes, keys[i].count);
        if (length == 0)
            return CKR_TEMPLATE_INCOMPLETE;
        if (length > WIRE_COMPONENT_MAX - *all)
            return CKR_KEY_SIZE_RANGE;
        *all += length;
    }
    return CKR_OK;
}

static CK_RV derive_all(struct sk_entry *e, const struct sk_mechanism *packed, CK_OBJECT_HANDLE base,
                        const struct sk_derived_key *keys, CK_ULONG count)
{
    CK_OBJECT_HANDLE made[KEYS_MAX];
    CK_ULONG before = 0, all, n = 0;
    CK_RV rv = measure(keys, count, &all);

    for (; rv == CKR_OK && n < count; n++) {
        place(packed, before, all);
        rv = sk_key_derive_packed(e, packed, base, keys[n].attributes, keys[n].count, &made[n]);
        if (rv != CKR_OK)
            break;
        before += length_of(keys[n].attributes, keys[n].count);
    }
    for (CK_ULONG i = 0; i < n; i++) {
        if (rv == CKR_OK)
            *keys[i].out = made[i];
        else
            (void)sk_object_destroy(e, made[i]);
    }
    return rv;
}

CK_RV sk_kbkdf(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
               CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_derived_key keys[KEYS_MAX], *more = NULL;
    struct sk_mechanism packed;
    CK_ULONG more_count = 0;
    CK_RV rv = sk_mechanism_pack(m, CAN_DERIVE, &packed);

    if (rv != CKR_OK)
        return rv;
    if (!sk_kbkdf_keys(m, &more, &more_count) || more_count >= KEYS_MAX || (more_count && !more)) {
        rv = CKR_MECHANISM_PARAM_INVALID;
    } else if (more_count == 0) {
        rv = sk_key_derive_packed(e, &packed, base, attributes, count, out);
    } else {
        keys[0] = (struct sk_derived_key){(CK_ATTRIBUTE *)(uintptr_t)attributes, count, out};
        memcpy(&keys[1], more, more_count * sizeof(*more));
        rv = derive_all(e, &packed, base, keys, more_count + 1);
    }
    sk_mechanism_clear(&packed);
    return rv;
}
