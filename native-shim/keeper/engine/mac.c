/* HMAC, CMAC, Poly1305, keyed BLAKE2b and plain digests. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

static EVP_MAC *mac_of(enum wire_engine engine)
{
    if (engine == ENGINE_poly1305)
        return kp_mac_poly1305();
    return engine == ENGINE_hmac ? kp_mac_hmac() : kp_mac_cmac();
}

/* NULL: Poly1305 is made of nothing. */
static const char *name_of(const struct kp_op *op)
{
    const char *algorithm = op->mechanism->algorithm;

    return op->mechanism->engine == ENGINE_cmac ? kp_cipher_name(algorithm, op->key->secret.length) : algorithm;
}

static int mac_begin(struct kp_op *op, const struct wire_params *p)
{
    const char *key = op->mechanism->engine == ENGINE_hmac ? OSSL_MAC_PARAM_DIGEST : OSSL_MAC_PARAM_CIPHER;
    const char *name = name_of(op);
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    int ok;

    op->tag = p->bits;
    if (name)
        params[0] = OSSL_PARAM_construct_utf8_string(key, (char *)(uintptr_t)name, 0);
    if (!op->warm)
        op->mac = EVP_MAC_CTX_new(mac_of(op->mechanism->engine));
    if (op->warm)
        ok = EVP_MAC_init(op->mac, NULL, 0, NULL);
    else
        ok = op->mac && EVP_MAC_init(op->mac, op->key->secret.data, op->key->secret.length, params) == 1;
    if (ok != 1)
        return STATUS_memory;
    return op->tag <= EVP_MAC_CTX_get_mac_size(op->mac) ? STATUS_ok : STATUS_mechanism_param_invalid;
}

/* How long the hash is, is part of what is hashed; a code that the parameter cuts is the beginning of the whole one. */
static int blake2b_begin(struct kp_op *op, const struct wire_params *p)
{
    size_t size = strtoul(op->mechanism->algorithm, NULL, 10);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};

    op->tag = p->bits ? p->bits : (uint32_t)size;
    if (op->tag > size)
        return STATUS_mechanism_param_invalid;
    if (op->key->secret.length > op->mechanism->max)
        return STATUS_key_size_range;
    op->mac = EVP_MAC_CTX_new(kp_mac_blake2b());
    return op->mac && EVP_MAC_init(op->mac, op->key->secret.data, op->key->secret.length, params) == 1 ? STATUS_ok
                                                                                                      : STATUS_memory;
}

static int mac_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return EVP_MAC_update(op->mac, in.data, in.length) == 1 ? STATUS_ok : STATUS_internal;
}

static int mac_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t length = 0;
    int status = in.length ? mac_update(op, in, out) : STATUS_ok;

    if (status == STATUS_ok && EVP_MAC_final(op->mac, mac, &length, sizeof(mac)) != 1)
        status = STATUS_internal;
    if (op->tag)
        length = op->tag;
    if (status == STATUS_ok)
        status = kp_mac_end(op, mac, length, signature, out);
    wire_wipe(mac, sizeof(mac));
    return status;
}

static void mac_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = op->tag ? op->tag : (uint32_t)EVP_MAC_CTX_get_mac_size(op->mac);
}

static int digest_begin(struct kp_op *op, const struct wire_params *p)
{
    (void)p;
    if (!op->warm)
        op->md = EVP_MD_CTX_new();
    return op->md && EVP_DigestInit_ex2(op->md, kp_md(op->mechanism->algorithm), NULL) == 1 ? STATUS_ok : STATUS_memory;
}

static int digest_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return EVP_DigestUpdate(op->md, in.data, in.length) == 1 ? STATUS_ok : STATUS_internal;
}

static int digest_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    int status = in.length ? digest_update(op, in, out) : STATUS_ok;
    uint8_t *at = kp_out_room(out, EVP_MAX_MD_SIZE);
    unsigned length = 0;

    (void)signature;
    if (status != STATUS_ok)
        return status;
    if (!at || EVP_DigestFinal_ex(op->md, at, &length) != 1)
        return STATUS_internal;
    out->at += length;
    return STATUS_ok;
}

static void digest_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = (uint32_t)EVP_MD_get_size(kp_md(op->mechanism->algorithm));
}

const struct kp_engine kp_engine_mac = {mac_begin, mac_update, mac_finish, mac_describe, true};
/* OpenSSL begins no second Poly1305 with one key in one context. */
const struct kp_engine kp_engine_poly1305 = {mac_begin, mac_update, mac_finish, mac_describe, false};
const struct kp_engine kp_engine_blake2b_mac = {blake2b_begin, mac_update, mac_finish, mac_describe, false};
const struct kp_engine kp_engine_digest = {digest_begin, digest_update, digest_finish, digest_describe, true};
