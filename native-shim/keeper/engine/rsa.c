/*
 * RSA: PKCS #1 v1.5 (sign, verify, encrypt, decrypt), PSS, OAEP. Hashed mechanisms run through EVP_DigestSign and are
 * multi-part; the others need their whole input at once. All faults of a padding share one code, and OpenSSL's own check of
 * the v1.5 padding is constant in time up to its return value: that return value is an oracle by the mechanism's nature
 * (PKCS#11 callers are told), which is why rsa_pkcs decryption is for old data only.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "../arena.h"
#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { PKCS1_OVERHEAD = 11, RAW_MAX = 1024 };

static const EVP_MD *hash_of(const struct kp_op *op) { return kp_md(op->mechanism->algorithm); }

static int begin_hashed(struct kp_op *op, EVP_PKEY_CTX **ctx)
{
    const char *name = EVP_MD_get0_name(hash_of(op));
    int ok;

    op->md = EVP_MD_CTX_new();
    if (!op->md)
        return STATUS_memory;
    ok = kp_op_verifies(op) ? EVP_DigestVerifyInit_ex(op->md, ctx, name, NULL, NULL, op->key->pkey, NULL)
                            : EVP_DigestSignInit_ex(op->md, ctx, name, NULL, NULL, op->key->pkey, NULL);
    return ok == 1 ? STATUS_ok : STATUS_internal;
}

static int begin_raw(struct kp_op *op)
{
    static int (*const init[WIRE_OPERATIONS])(EVP_PKEY_CTX *) = {
        [WIRE_ENCRYPT] = EVP_PKEY_encrypt_init,
        [WIRE_DECRYPT] = EVP_PKEY_decrypt_init,
        [WIRE_SIGN] = EVP_PKEY_sign_init,
        [WIRE_VERIFY] = EVP_PKEY_verify_init,
        [WIRE_SIGN_RECOVER] = EVP_PKEY_sign_init,
        [WIRE_VERIFY_RECOVER] = EVP_PKEY_verify_recover_init,
    };

    if (op->warm)
        return STATUS_ok;
    op->pkey = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    return op->pkey && init[op->operation](op->pkey) == 1 ? STATUS_ok : STATUS_memory;
}

static int rsa_begin(struct kp_op *op, EVP_PKEY_CTX **ctx)
{
    int status;

    if (hash_of(op))
        return begin_hashed(op, ctx);
    status = begin_raw(op);
    *ctx = op->pkey;
    return status;
}

static int pkcs_begin(struct kp_op *op, const struct wire_params *p)
{
    EVP_PKEY_CTX *ctx = NULL;
    int status = rsa_begin(op, &ctx);

    (void)p;
    if (status != STATUS_ok)
        return status;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 ? STATUS_ok : STATUS_internal;
}

/* RFC 8017, 9.1.1: the encoded message has room for hash, salt and two bytes. */
static bool salt_fits(const struct kp_op *op, const EVP_MD *hash, uint64_t salt)
{
    uint64_t room = (op->key->bits - 1 + 7) / 8, taken = (uint64_t)EVP_MD_get_size(hash) + 2;

    return room >= taken && salt <= room - taken;
}

static int pss_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_MD *hash = kp_md_of_mechanism(p->hash), *mgf = kp_md_of_mgf(p->mgf);
    EVP_PKEY_CTX *ctx = NULL;
    int status;

    if (!hash || !mgf || (hash_of(op) && hash_of(op) != hash) || !salt_fits(op, hash, p->salt_length))
        return STATUS_mechanism_param_invalid;
    status = rsa_begin(op, &ctx);
    if (status != STATUS_ok)
        return status;
    op->tag = (uint32_t)EVP_MD_get_size(hash);
    if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
        (!hash_of(op) && EVP_PKEY_CTX_set_signature_md(ctx, hash) != 1) || EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, mgf) != 1 ||
        EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)p->salt_length) != 1)
        return STATUS_internal;
    return STATUS_ok;
}

static int oaep_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_MD *hash = kp_md_of_mechanism(p->hash), *mgf = kp_md_of_mgf(p->mgf);
    void *label = NULL;
    int status;

    if (!hash || !mgf)
        return STATUS_mechanism_param_invalid;
    status = begin_raw(op);
    if (status != STATUS_ok)
        return status;
    op->tag = (uint32_t)EVP_MD_get_size(hash);
    if (EVP_PKEY_CTX_set_rsa_padding(op->pkey, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(op->pkey, hash) != 1 || EVP_PKEY_CTX_set_rsa_mgf1_md(op->pkey, mgf) != 1)
        return STATUS_internal;
    if (p->aad.length == 0)
        return STATUS_ok;
    label = OPENSSL_memdup(p->aad.data, p->aad.length);
    if (label && EVP_PKEY_CTX_set0_rsa_oaep_label(op->pkey, label, (int)p->aad.length) == 1)
        return STATUS_ok;
    OPENSSL_free(label);
    return STATUS_memory;
}

static int rsa_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return op->md ? kp_hash_update(op, in) : kp_gather(op, in, RAW_MAX);
}

static int finish_hashed(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    int status = in.length ? rsa_update(op, in, out) : STATUS_ok;
    size_t length = kp_modulus_bytes(op);
    uint8_t *at = kp_out_room(out, length);

    if (status != STATUS_ok)
        return status;
    if (kp_op_verifies(op)) {
        if (signature.length != length)
            return STATUS_signature_len_range;
        return EVP_DigestVerifyFinal(op->md, signature.data, signature.length) == 1 ? STATUS_ok : STATUS_signature_invalid;
    }
    if (!at || EVP_DigestSignFinal(op->md, at, &length) != 1)
        return STATUS_internal;
    out->at += length;
    return STATUS_ok;
}

static size_t input_max(const struct kp_op *op)
{
    size_t k = kp_modulus_bytes(op), overhead = 2 * (size_t)op->tag + 2;

    if (op->mechanism->engine == ENGINE_rsa_pkcs)
        return k - PKCS1_OVERHEAD;
    return k > overhead ? k - overhead : 0;
}

static int check_input(const struct kp_op *op, size_t length)
{
    if (op->operation == WIRE_DECRYPT)
        return length == kp_modulus_bytes(op) ? STATUS_ok : STATUS_encrypted_data_len_range;
    if (op->operation == WIRE_VERIFY_RECOVER)
        return length == kp_modulus_bytes(op) ? STATUS_ok : STATUS_signature_len_range;
    if (op->mechanism->engine == ENGINE_rsa_pss)
        return length == op->tag ? STATUS_ok : STATUS_data_len_range;
    if (op->mechanism->engine == ENGINE_rsa_oaep && kp_modulus_bytes(op) < 2 * (size_t)op->tag + 2)
        return STATUS_key_size_range;
    return length <= input_max(op) ? STATUS_ok : STATUS_data_len_range;
}

/* What was encrypted or signed. OpenSSL writes the padded block before it knows that the padding is good: to the arena first. */
static int uncover(struct kp_op *op, struct wire_bytes all, struct wire_writer *out)
{
    const bool decrypts = op->operation == WIRE_DECRYPT;
    size_t length = kp_modulus_bytes(op);
    uint8_t *plain = kp_alloc(length);
    int status = decrypts ? STATUS_encrypted_data_invalid : STATUS_signature_invalid;

    if (!plain)
        return STATUS_memory;
    if ((decrypts ? EVP_PKEY_decrypt : EVP_PKEY_verify_recover)(op->pkey, plain, &length, all.data, all.length) == 1) {
        wire_write_raw(out, plain, length);
        status = STATUS_ok;
    }
    kp_free(plain);
    return status;
}

static int run_raw(struct kp_op *op, struct wire_bytes all, struct wire_bytes signature, struct wire_writer *out)
{
    size_t length = kp_modulus_bytes(op);
    uint8_t *at = kp_out_room(out, length);
    int ok;

    if (op->operation == WIRE_DECRYPT || op->operation == WIRE_VERIFY_RECOVER)
        return uncover(op, all, out);
    if (kp_op_verifies(op)) {
        if (signature.length != length)
            return STATUS_signature_len_range;
        ok = EVP_PKEY_verify(op->pkey, signature.data, signature.length, all.data, all.length);
        return ok == 1 ? STATUS_ok : STATUS_signature_invalid;
    }
    if (!at)
        return STATUS_memory;
    ok = kp_op_encrypts(op) ? EVP_PKEY_encrypt(op->pkey, at, &length, all.data, all.length)
                            : EVP_PKEY_sign(op->pkey, at, &length, all.data, all.length);
    if (ok != 1)
        return STATUS_internal;
    out->at += length;
    return STATUS_ok;
}

static int rsa_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    int status;

    if (op->md)
        return finish_hashed(op, in, signature, out);
    status = kp_gathered(op, in, RAW_MAX, &all);
    if (status == STATUS_ok)
        status = check_input(op, all.length);
    return status == STATUS_ok ? run_raw(op, all, signature, out) : status;
}

static void rsa_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = op->operation == WIRE_DECRYPT || op->operation == WIRE_VERIFY_RECOVER ? WIRE_OUTPUT_AT_MOST : WIRE_OUTPUT_FIXED;
    *size = (uint32_t)kp_modulus_bytes(op);
}

const struct kp_engine kp_engine_rsa_pkcs = {pkcs_begin, rsa_update, rsa_finish, rsa_describe, true};
const struct kp_engine kp_engine_rsa_oaep = {oaep_begin, rsa_update, rsa_finish, rsa_describe, false};
const struct kp_engine kp_engine_rsa_pss = {pss_begin, rsa_update, rsa_finish, rsa_describe, true};
