/* ECDSA and DSA with signatures as r || s (PKCS#11 3.1, 6.3.1, 6.2.1), and Ed25519 and Ed448. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "../key_pq.h"
#include "mechanism.h"

enum { ORDER_MAX = 66, DER_MAX = 2 * ORDER_MAX + 16, ED25519_BYTES = 64, ED448_BYTES = 114, MESSAGE_MAX = 64 * 1024 * 1024 };

/* Octets by which either half of a signature to verify may be short: see takes_length. */
enum { SHORT_MAX = 2 };

static size_t order_bytes(const struct kp_op *op) { return op->tag; }

/* Of the group: as many bits as the curve has, or the subprime. */
static uint32_t order_of(const struct kp_key *key)
{
    struct wire_template t;
    const struct wire_attribute *subprime;

    if (key->type != CKK_DSA)
        return (key->bits + 7) / 8;
    kp_key_components(key, &t);
    subprime = wire_template_find(&t, CKA_SUBPRIME);
    return subprime ? (uint32_t)subprime->value.length : 0;
}

static int ecdsa_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_MD *hash = kp_md(op->mechanism->algorithm);
    const char *name = hash ? EVP_MD_get0_name(hash) : NULL;
    int ok;

    (void)p;
    op->tag = order_of(op->key);
    if (op->warm)
        return STATUS_ok; /* a context signs as often as one likes */
    if (!hash) {
        op->pkey = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
        ok = op->pkey ? (kp_op_verifies(op) ? EVP_PKEY_verify_init(op->pkey) : EVP_PKEY_sign_init(op->pkey)) : 0;
        return ok == 1 ? STATUS_ok : STATUS_memory;
    }
    op->md = EVP_MD_CTX_new();
    ok = !op->md              ? 0
         : kp_op_verifies(op) ? EVP_DigestVerifyInit_ex(op->md, NULL, name, NULL, NULL, op->key->pkey, NULL)
                              : EVP_DigestSignInit_ex(op->md, NULL, name, NULL, NULL, op->key->pkey, NULL);
    return ok == 1 ? STATUS_ok : STATUS_memory;
}

/* Without a hash of its own it takes any length: OpenSSL uses the leftmost bits of the order's length. */
static int ecdsa_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return op->md ? kp_hash_update(op, in) : kp_gather(op, in, WIRE_DATA_MAX);
}

/* PKCS#11 3.1, 6.2.7: that of a hash. */
static bool is_digest_length(size_t length)
{
    return length == 20 || length == 28 || length == 32 || length == 48 || length == 64;
}

/* The next INTEGER as `size` octets. None of a signature is so long that its length takes more than one. */
static bool take_integer(struct wire_bytes *der, uint8_t *out, size_t size)
{
    const uint8_t *at = der->data + 2;
    size_t length;

    if (der->length < 2 || der->data[0] != 0x02 || der->data[1] > der->length - 2)
        return false;
    length = der->data[1];
    der->data += 2 + length;
    der->length -= 2 + length;
    for (; length && *at == 0; at++)
        length--;
    if (length > size)
        return false;
    memset(out, 0, size - length);
    memcpy(out + size - length, at, length);
    return true;
}

/* DER to r || s; DSA's is the same. By hand: OpenSSL takes ten blocks of memory for it, a fiftieth of the signature. */
static bool to_fixed(const uint8_t *der, size_t length, uint8_t *out, size_t order)
{
    const size_t head = length > 2 && der[1] == 0x81 ? 3 : 2;
    struct wire_bytes rest = {der + head, length - head};

    return length > head && der[0] == 0x30 && take_integer(&rest, out, order) &&
           take_integer(&rest, out + order, order) && rest.length == 0;
}

/* r || s to DER; its length, or 0. */
static size_t to_der(struct wire_bytes fixed, uint8_t *der)
{
    int half = (int)(fixed.length / 2), length = -1;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(fixed.data, half, NULL), *s = BN_bin2bn(fixed.data + half, half, NULL);

    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        length = i2d_ECDSA_SIG(sig, NULL) <= DER_MAX ? i2d_ECDSA_SIG(sig, &der) : -1;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return length > 0 ? (size_t)length : 0;
}

/*
 * "For signatures passed to a token for verification, the signature may have a shorter length" (PKCS#11 3.1, 6.3.1):
 * SunPKCS11 leaves out the zeros that both halves begin with, which P-521 has in every fourth signature. No honest
 * signature lacks more than SHORT_MAX, and small r and s are what forgers choose, so beyond that it is refused.
 */
static bool takes_length(const struct kp_op *op, size_t length)
{
    const size_t full = 2 * order_bytes(op);

    return length % 2 == 0 && length <= full && length + 2 * SHORT_MAX >= full;
}

static int verify(struct kp_op *op, struct wire_bytes all, struct wire_bytes signature)
{
    uint8_t der[DER_MAX];
    size_t length;
    int ok;

    if (!takes_length(op, signature.length))
        return STATUS_signature_len_range;
    length = to_der(signature, der);
    if (!length)
        return STATUS_signature_invalid;
    ok = op->md ? EVP_DigestVerifyFinal(op->md, der, length)
                : EVP_PKEY_verify(op->pkey, der, length, all.data, all.length);
    return ok == 1 ? STATUS_ok : STATUS_signature_invalid;
}

static int sign(struct kp_op *op, struct wire_bytes all, struct wire_writer *out)
{
    uint8_t der[DER_MAX], *at = kp_out_room(out, 2 * order_bytes(op));
    size_t length = sizeof(der);
    int ok;

    if (!at)
        return STATUS_memory;
    ok = op->md ? EVP_DigestSignFinal(op->md, der, &length) : EVP_PKEY_sign(op->pkey, der, &length, all.data, all.length);
    if (ok != 1 || !to_fixed(der, length, at, order_bytes(op)))
        return STATUS_internal;
    out->at += 2 * order_bytes(op);
    return STATUS_ok;
}

static int ecdsa_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all = {NULL, 0};
    int status;

    if (op->md)
        status = in.length ? ecdsa_update(op, in, out) : STATUS_ok;
    else
        status = kp_gathered(op, in, WIRE_DATA_MAX, &all);
    if (status == STATUS_ok && !op->md && op->key->type == CKK_DSA && !is_digest_length(all.length))
        status = STATUS_data_len_range;
    if (status != STATUS_ok)
        return status;
    return kp_op_verifies(op) ? verify(op, all, signature) : sign(op, all, out);
}

static void ecdsa_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = (uint32_t)(2 * order_bytes(op));
}

static size_t eddsa_bytes(const struct kp_op *op) { return op->key->bits > 255 ? ED448_BYTES : ED25519_BYTES; }

/* OpenSSL's names of RFC 8032's variants, which it takes by name from 3.2 on. */
static char *instance_of(const struct kp_op *op, const struct wire_params *p)
{
    static char ed25519ctx[] = "Ed25519ctx", ed25519ph[] = "Ed25519ph", ed448[] = "Ed448", ed448ph[] = "Ed448ph";

    if (op->key->bits > 255)
        return p->prehash ? ed448ph : ed448;
    return p->prehash ? ed25519ph : ed25519ctx;
}

/* Without context and prehash it is Ed25519 or Ed448 as ever, whether or not the parameter is there. */
static int eddsa_begin(struct kp_op *op, const struct wire_params *p)
{
    bool variant = p->present && (p->prehash || p->aad.length);
    OSSL_PARAM set[] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    const OSSL_PARAM *params = variant ? set : NULL;
    int ok;

    if (variant && !kp_eddsa_has_instances())
        return STATUS_mechanism_param_invalid;
    if (variant)
        set[0] = OSSL_PARAM_construct_utf8_string("instance", instance_of(op, p), 0);
    if (variant && p->aad.length)
        set[1] = OSSL_PARAM_construct_octet_string("context-string", (void *)(uintptr_t)p->aad.data, p->aad.length);
    op->md = EVP_MD_CTX_new();
    if (!op->md)
        return STATUS_memory;
    ok = kp_op_verifies(op) ? EVP_DigestVerifyInit_ex(op->md, NULL, NULL, NULL, NULL, op->key->pkey, params)
                            : EVP_DigestSignInit_ex(op->md, NULL, NULL, NULL, NULL, op->key->pkey, params);
    return ok == 1 ? STATUS_ok : STATUS_internal;
}

static int eddsa_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return kp_gather(op, in, MESSAGE_MAX);
}

static int eddsa_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    size_t length = eddsa_bytes(op);
    struct wire_bytes all;
    int status = kp_gathered(op, in, MESSAGE_MAX, &all);
    uint8_t *at = kp_out_room(out, length);

    if (status != STATUS_ok)
        return status;
    if (kp_op_verifies(op)) {
        if (signature.length != length)
            return STATUS_signature_len_range;
        return EVP_DigestVerify(op->md, signature.data, signature.length, all.data, all.length) == 1
                   ? STATUS_ok
                   : STATUS_signature_invalid;
    }
    if (!at || EVP_DigestSign(op->md, at, &length, all.data, all.length) != 1)
        return STATUS_internal;
    out->at += length;
    return STATUS_ok;
}

static void eddsa_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    (void)op;
    *rule = WIRE_OUTPUT_FIXED;
    *size = (uint32_t)eddsa_bytes(op);
}

const struct kp_engine kp_engine_ecdsa = {ecdsa_begin, ecdsa_update, ecdsa_finish, ecdsa_describe, true};
const struct kp_engine kp_engine_eddsa = {eddsa_begin, eddsa_update, eddsa_finish, eddsa_describe, false};
