#include "tls.h"

#include "key.h"
#include "mechanism.h"
#include "object.h"
#include "template.h"

#include "../wire/limits.h"

#include <string.h>

enum { MAC_ATTRIBUTES_MAX = 8 };

/* Packed parameters of a master secret and of a key block begin with the part (wire/params.h). */
static const struct sk_mechanism *part_of(const struct sk_mechanism *packed, enum wire_tls_part part)
{
    sk_mechanism_params(packed)[0] = (uint8_t)part;
    return packed;
}

/* What is no key but bytes for the caller: derived as a session key that may be read, read, and destroyed. Who is not logged in
 * may have a base that is public, and makes public keys alone. */
static CK_RV reveal(struct sk_entry *e, const struct sk_mechanism *packed, CK_OBJECT_HANDLE base, CK_BYTE *bytes,
                    CK_ULONG length)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},  {CKA_TOKEN, &no, sizeof(no)},
        {CKA_SENSITIVE, &no, sizeof(no)},   {CKA_EXTRACTABLE, &yes, sizeof(yes)}, {CKA_VALUE_LEN, &length, sizeof(length)},
        {CKA_PRIVATE, &no, sizeof(no)},
    };
    CK_ATTRIBUTE value = {CKA_VALUE, bytes, length};
    CK_OBJECT_HANDLE made = 0;
    CK_RV rv = sk_key_derive_packed(e, packed, base, template, sizeof(template) / sizeof(template[0]), &made);

    if (rv != CKR_OK)
        return rv;
    rv = sk_object_get(e, made, &value, 1);
    (void)sk_object_destroy(e, made);
    return rv == CKR_OK && value.ulValueLen != length ? CKR_DEVICE_ERROR : rv;
}

CK_RV sk_tls_master(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
                    CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_tls_master_params params;
    struct sk_mechanism packed;
    CK_RV rv = sk_mechanism_pack(m, CAN_DERIVE, &packed);

    if (rv != CKR_OK)
        return rv;
    if (!sk_tls_master_params(m, &params))
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK && params.version)
        rv = reveal(e, part_of(&packed, TLS_VERSION), base, (CK_BYTE *)params.version, sizeof(*params.version));
    if (rv == CKR_OK)
        rv = sk_key_derive_packed(e, part_of(&packed, TLS_MASTER), base, attributes, count, out);
    sk_mechanism_clear(&packed);
    return rv;
}

CK_RV sk_tls_prf(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base)
{
    struct sk_tls_prf_params params;
    struct sk_mechanism packed;
    CK_RV rv = sk_mechanism_pack(m, CAN_DERIVE, &packed);

    if (rv != CKR_OK)
        return rv;
    if (!sk_read_struct(&params, sizeof(params), m))
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK && (*params.out_len == 0 || *params.out_len > WIRE_COMPONENT_MAX))
        rv = CKR_KEY_SIZE_RANGE;
    if (rv == CKR_OK)
        rv = reveal(e, &packed, base, params.out, *params.out_len);
    sk_mechanism_clear(&packed);
    return rv;
}

/* A MAC secret is a generic one, where the keys are and as private as they are. */
static CK_ULONG mac_template(const CK_ATTRIBUTE *of, CK_ULONG count, CK_ATTRIBUTE *out)
{
    static CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    static CK_BBOOL yes = CK_TRUE;
    CK_ULONG n = 0;

    out[n++] = (CK_ATTRIBUTE){CKA_KEY_TYPE, &type, sizeof(type)};
    out[n++] = (CK_ATTRIBUTE){CKA_SIGN, &yes, sizeof(yes)};
    out[n++] = (CK_ATTRIBUTE){CKA_VERIFY, &yes, sizeof(yes)};
    out[n++] = (CK_ATTRIBUTE){CKA_DERIVE, &yes, sizeof(yes)};
    for (CK_ULONG i = 0; of && i < count && n < MAC_ATTRIBUTES_MAX; i++)
        if (of[i].type == CKA_TOKEN || of[i].type == CKA_PRIVATE)
            out[n++] = of[i];
    return n;
}

static CK_RV derive_keys(struct sk_entry *e, const struct sk_mechanism *packed, const CK_ULONG bits[2], CK_OBJECT_HANDLE base,
                         const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE keys[4])
{
    CK_ATTRIBUTE mac[MAC_ATTRIBUTES_MAX];
    CK_ULONG mac_count = mac_template(attributes, count, mac);
    CK_RV rv = CKR_OK;

    for (enum wire_tls_part part = TLS_CLIENT_MAC; rv == CKR_OK && part <= TLS_SERVER_KEY; part++) {
        bool is_mac = part <= TLS_SERVER_MAC;

        if (bits[is_mac ? 0 : 1])
            rv = sk_key_derive_packed(e, part_of(packed, part), base, is_mac ? mac : attributes,
                                      is_mac ? mac_count : count, &keys[part]);
    }
    return rv;
}

CK_RV sk_tls_keys(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
                  CK_ULONG count)
{
    const bool safe = m->mechanism == CKM_TLS12_KEY_SAFE_DERIVE;
    CK_OBJECT_HANDLE keys[4] = {0};
    struct sk_tls_keys_params params;
    struct sk_mechanism packed;
    CK_RV rv = sk_mechanism_pack(m, CAN_DERIVE, &packed);

    if (rv != CKR_OK)
        return rv;
    rv = sk_template_check(attributes, count);
    if (!sk_tls_keys_params(m, &params) ||
        (!safe && params.iv_bits && (!params.out->iv[0] || !params.out->iv[1])))
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK)
        rv = derive_keys(e, &packed, (CK_ULONG[]){params.mac_bits, params.key_bits}, base, attributes, count, keys);
    for (int i = 0; rv == CKR_OK && !safe && params.iv_bits && i < 2; i++)
        rv = reveal(e, part_of(&packed, TLS_CLIENT_IV + (enum wire_tls_part)i), base, params.out->iv[i],
                    params.iv_bits / 8);
    for (int i = 0; rv != CKR_OK && i < 4; i++)
        if (keys[i])
            (void)sk_object_destroy(e, keys[i]);
    if (rv == CKR_OK)
        memcpy(params.out->keys, keys, sizeof(keys));
    sk_mechanism_clear(&packed);
    return rv;
}
