/*
 * AES-GCM and ChaCha20-Poly1305, the tag after the ciphertext (PKCS#11 3.1, 6.13.3, 6.51). Decryption gives nothing before
 * the tag is good.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum {
    OPENSSL_IV_MAX = 128, /* OpenSSL 3 takes no longer initial value */
    MESSAGE_MAX = 64 * 1024 * 1024
};

static bool set_key(struct kp_op *op)
{
    const EVP_CIPHER *cipher = kp_cipher(op->mechanism->algorithm, op->key->secret.length);

    op->cipher = EVP_CIPHER_CTX_new();
    return op->cipher &&
           EVP_CipherInit_ex2(op->cipher, cipher, op->key->secret.data, NULL, kp_op_encrypts(op), NULL) == 1;
}

static bool set_iv(struct kp_op *op, struct wire_bytes iv)
{
    if (op->iv_length != iv.length &&
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.length, NULL) != 1)
        return false;
    op->iv_length = iv.length;
    return EVP_CipherInit_ex2(op->cipher, NULL, NULL, iv.data, kp_op_encrypts(op), NULL) == 1;
}

static int gcm_begin(struct kp_op *op, const struct wire_params *p)
{
    int length;

    op->tag = p->bits / 8;
    if (p->iv.length > OPENSSL_IV_MAX)
        return STATUS_mechanism_param_invalid;
    if ((!op->warm && !set_key(op)) || !set_iv(op, p->iv))
        return STATUS_memory;
    if (p->aad.length && EVP_CipherUpdate(op->cipher, NULL, &length, p->aad.data, (int)p->aad.length) != 1)
        return STATUS_internal;
    return STATUS_ok;
}

static int gcm_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    uint8_t *at;
    int length = 0;

    if (!kp_op_encrypts(op))
        return kp_gather(op, in, MESSAGE_MAX);
    at = kp_out_room(out, in.length);
    if (!at || EVP_CipherUpdate(op->cipher, at, &length, in.data, (int)in.length) != 1)
        return STATUS_memory;
    out->at += length;
    return STATUS_ok;
}

/* EVP_CIPHER_CTX_ctrl would do the same by a longer way. */
static bool write_tag(struct kp_op *op, uint8_t *at)
{
    OSSL_PARAM wanted[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, at, op->tag), OSSL_PARAM_END};

    return EVP_CIPHER_CTX_get_params(op->cipher, wanted) == 1;
}

static int seal(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    int length = 0, status = in.length ? gcm_update(op, in, out) : STATUS_ok;
    uint8_t *at = kp_out_room(out, op->tag);

    if (status != STATUS_ok)
        return status;
    if (!at || EVP_CipherFinal_ex(op->cipher, at, &length) != 1 || !write_tag(op, at))
        return STATUS_internal;
    out->at += op->tag;
    return STATUS_ok;
}

/* Deciphers to `plain` (which may be the ciphertext's own place), wiped again when the tag is bad. */
static int open_to(struct kp_op *op, struct wire_bytes all, uint8_t *plain)
{
    size_t length = all.length - op->tag;
    uint8_t tag[16], nothing[16];
    int n;

    for (uint32_t i = 0; i < op->tag; i++)
        tag[i] = all.data[length + i];
    if ((length == 0 || EVP_CipherUpdate(op->cipher, plain, &n, all.data, (int)length) == 1) &&
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_TAG, (int)op->tag, tag) == 1 &&
        EVP_CipherFinal_ex(op->cipher, nothing, &n) == 1)
        return STATUS_ok;
    wire_wipe(plain, length);
    return STATUS_encrypted_data_invalid;
}

static int gcm_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    size_t length;
    int status;

    (void)signature;
    if (kp_op_encrypts(op))
        return seal(op, in, out);
    status = kp_gathered(op, in, MESSAGE_MAX, &all);
    if (status != STATUS_ok)
        return status;
    if (all.length < op->tag)
        return STATUS_encrypted_data_len_range;
    length = all.length - op->tag;
    if (length < kp_out_max(out)) {
        if (!kp_out_room(out, length))
            return STATUS_memory;
        status = open_to(op, all, out->at);
        out->at += status == STATUS_ok ? length : 0;
        return status;
    }
    /* In place in what was gathered, of which the caller fetches piece by piece. */
    if (op->length == 0)
        status = kp_gather(op, in, MESSAGE_MAX);
    if (status == STATUS_ok)
        status = open_to(op, (struct wire_bytes){op->data, op->length}, op->data);
    if (status != STATUS_ok)
        return status;
    op->length = length;
    kp_op_more(op, out);
    return STATUS_ok;
}

static void gcm_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = kp_op_encrypts(op) ? WIRE_OUTPUT_INPUT : WIRE_OUTPUT_UNPADDED;
    *size = kp_op_encrypts(op) ? op->tag : 0;
}

const struct kp_engine kp_engine_gcm = {gcm_begin, gcm_update, gcm_finish, gcm_describe, true};
