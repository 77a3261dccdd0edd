/*
 * CKM_ECDH_AES_KEY_WRAP (PKCS#11 3.1, 6.3.20): the point of a fresh key on the same curve, uncompressed, then the key in question,
 * wrapped with KWP by the AES key that ECDH of the two gives.
 */
#include <openssl/evp.h>

#include "../arena.h"
#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "../key_kinds.h"
#include "mechanism.h"

/* CKA_EC_PARAMS and CKA_EC_POINT of a key, as views into it. A private key has its point as well. */
static bool curve_and_point(const struct kp_key *key, struct wire_bytes *curve, struct wire_bytes *point)
{
    const struct wire_attribute *a, *b;
    struct wire_template t;

    kp_key_components(key, &t);
    a = wire_template_find(&t, CKA_EC_PARAMS);
    b = wire_template_find(&t, CKA_EC_POINT);
    if (!a || !b)
        return false;
    *curve = a->value;
    *point = b->value;
    return true;
}

static size_t point_bytes(const struct kp_key *key) { return 1 + 2 * (((size_t)key->bits + 7) / 8); }

static int fresh_key(struct wire_bytes curve, struct kp_key **out)
{
    struct wire_template t = {.count = 1};
    EVP_PKEY *pkey = NULL;
    int status;

    t.at[0] = (struct wire_attribute){CKA_EC_PARAMS, curve};
    if (!kp_reseed())
        return STATUS_internal;
    status = kp_ec_generate(CKK_EC, &t, &pkey);
    return status == STATUS_ok ? kp_key_from_pkey(CKO_PRIVATE_KEY, CKK_EC, pkey, out) : status;
}

/* The AES key that both sides agree on. */
static int agree(struct kp_key *own, struct wire_bytes point, const struct wire_params *p, struct kp_key **out)
{
    struct kp_derivation d = {.base = own, .params = *p, .length = p->bits / 8};
    uint8_t *aes = kp_alloc(WIRE_COMPONENT_MAX);
    struct wire_writer w;
    int status;

    if (!aes)
        return STATUS_memory;
    d.params.point = point;
    wire_writer_init(&w, aes, WIRE_COMPONENT_MAX);
    status = kp_ecdh(&d, &w);
    if (status == STATUS_ok)
        status = kp_key_secret(CKK_AES, aes, wire_written(&w), out);
    kp_free(aes);
    return status;
}

static const struct wire_bytes none = {NULL, 0};

int kp_ecdh_aes_wrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes plain, struct wire_writer *out)
{
    struct wire_bytes curve, theirs, ours;
    struct kp_key *fresh = NULL, *aes = NULL;
    size_t length = point_bytes(by);
    struct wire_params p;
    int status;

    if (by->type != CKK_EC || !curve_and_point(by, &curve, &theirs))
        return STATUS_key_type_inconsistent;
    if (!wire_params_read(LAYOUT_ecdh_aes, params, &p))
        return STATUS_mechanism_param_invalid;
    status = fresh_key(curve, &fresh);
    if (status == STATUS_ok && (!curve_and_point(fresh, &curve, &ours) || ours.length <= length))
        status = STATUS_internal;
    if (status == STATUS_ok)
        status = agree(fresh, theirs, &p, &aes);
    if (status == STATUS_ok) {
        wire_write_raw(out, ours.data + ours.length - length, length); /* without the OCTET STRING's head */
        status = kp_op_once(CKM_AES_KEY_WRAP_KWP, WIRE_ENCRYPT, aes, none, plain, out);
    }
    kp_key_drop(aes);
    kp_key_drop(fresh);
    return status;
}

int kp_ecdh_aes_unwrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes wrapped, struct wire_writer *plain)
{
    size_t length = point_bytes(by);
    struct kp_key *aes = NULL;
    struct wire_params p;
    int status;

    if (by->type != CKK_EC)
        return STATUS_key_type_inconsistent;
    if (!wire_params_read(LAYOUT_ecdh_aes, params, &p) || (p.hash == CKD_NULL && p.aad.length > 0))
        return STATUS_mechanism_param_invalid;
    if (wrapped.length <= length)
        return STATUS_encrypted_data_len_range;
    status = agree(by, (struct wire_bytes){wrapped.data, length}, &p, &aes);
    if (status == STATUS_mechanism_param_invalid && (p.hash == CKD_NULL || kp_md_of_kdf(p.hash)))
        status = STATUS_encrypted_data_invalid; /* the point is part of what was wrapped */
    if (status == STATUS_ok)
        status = kp_op_once(CKM_AES_KEY_WRAP_KWP, WIRE_DECRYPT, aes, none,
                            (struct wire_bytes){wrapped.data + length, wrapped.length - length}, plain);
    kp_key_drop(aes);
    return status;
}
