/*
 * AES-CCM, the code after the ciphertext (PKCS#11 3.1, 6.13.4). The length of the data is part of the first block, and OpenSSL
 * takes the data at once: a message has at most one frame of data.
 */
#include <openssl/evp.h>

#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

static int ccm_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_CIPHER *cipher = kp_cipher("CCM", op->key->secret.length);
    int n, enc = kp_op_encrypts(op);

    op->tag = p->bits / 8;
    op->blocks = p->data_length;
    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher || EVP_CipherInit_ex2(op->cipher, cipher, NULL, NULL, enc, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_IVLEN, (int)p->iv.length, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_TAG, (int)op->tag, NULL) != 1 ||
        EVP_CipherInit_ex2(op->cipher, NULL, op->key->secret.data, p->iv.data, enc, NULL) != 1 ||
        EVP_CipherUpdate(op->cipher, NULL, &n, NULL, (int)p->data_length) != 1)
        return STATUS_memory;
    if (p->aad.length && EVP_CipherUpdate(op->cipher, NULL, &n, p->aad.data, (int)p->aad.length) != 1)
        return STATUS_internal;
    return STATUS_ok;
}

static size_t wanted(const struct kp_op *op) { return op->blocks + (kp_op_encrypts(op) ? 0 : op->tag); }

static int ccm_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return kp_gather(op, in, wanted(op));
}

static int seal(struct kp_op *op, struct wire_bytes all, uint8_t *at)
{
    int n;

    if (EVP_CipherUpdate(op->cipher, at, &n, all.data, (int)all.length) != 1 ||
        EVP_CipherFinal_ex(op->cipher, at + all.length, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_GET_TAG, (int)op->tag, at + all.length) != 1)
        return STATUS_internal;
    return STATUS_ok;
}

static int open_to(struct kp_op *op, struct wire_bytes all, uint8_t *at)
{
    size_t length = all.length - op->tag;
    uint8_t tag[16];
    int n;

    for (uint32_t i = 0; i < op->tag; i++)
        tag[i] = all.data[length + i];
    if (EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_TAG, (int)op->tag, tag) == 1 &&
        EVP_CipherUpdate(op->cipher, at, &n, all.data, (int)length) == 1)
        return STATUS_ok;
    wire_wipe(at, length);
    return STATUS_encrypted_data_invalid;
}

static int ccm_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    size_t length = op->blocks + (kp_op_encrypts(op) ? op->tag : 0);
    uint8_t *at = kp_out_room(out, length);
    int status = kp_gathered(op, in, wanted(op), &all);

    (void)signature;
    if (status != STATUS_ok)
        return status;
    if (all.length != wanted(op))
        return kp_op_encrypts(op) ? STATUS_data_len_range : STATUS_encrypted_data_len_range;
    if (!at)
        return STATUS_memory;
    status = kp_op_encrypts(op) ? seal(op, all, at) : open_to(op, all, at);
    out->at += status == STATUS_ok ? length : 0;
    return status;
}

static void ccm_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = kp_op_encrypts(op) ? WIRE_OUTPUT_INPUT : WIRE_OUTPUT_UNPADDED;
    *size = kp_op_encrypts(op) ? op->tag : 0;
}

const struct kp_engine kp_engine_ccm = {ccm_begin, ccm_update, ccm_finish, ccm_describe, false};
