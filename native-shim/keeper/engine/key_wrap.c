/* AES key wrap, RFC 3394, and with padding, RFC 5649: for data as well as for keys. */
#include <openssl/evp.h>
#include <string.h>

#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

static bool pads(const struct kp_op *op) { return strcmp(op->mechanism->algorithm, "WRAP-PAD") == 0; }

static int wrap_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_CIPHER *cipher = kp_cipher(op->mechanism->algorithm, op->key->secret.length);
    const uint8_t *iv = p->iv.length ? p->iv.data : NULL;

    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher)
        return STATUS_memory;
    EVP_CIPHER_CTX_set_flags(op->cipher, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    return EVP_CipherInit_ex2(op->cipher, cipher, op->key->secret.data, iv, kp_op_encrypts(op), NULL) == 1
               ? STATUS_ok
               : STATUS_internal;
}

static int wrap_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return kp_gather(op, in, WIRE_DATA_MAX);
}

static int check_length(const struct kp_op *op, size_t length)
{
    if (kp_op_encrypts(op))
        return length >= 1 && (pads(op) || (length % 8 == 0 && length >= 16)) ? STATUS_ok : STATUS_data_len_range;
    return length % 8 == 0 && length >= (pads(op) ? 16 : 24) ? STATUS_ok : STATUS_encrypted_data_len_range;
}

static int wrap_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    int length = 0, status = kp_gathered(op, in, WIRE_DATA_MAX, &all);
    uint8_t *at;

    (void)signature;
    if (status == STATUS_ok)
        status = check_length(op, all.length);
    if (status != STATUS_ok)
        return status;
    at = kp_out_room(out, all.length + 16);
    if (!at)
        return STATUS_memory;
    if (EVP_CipherUpdate(op->cipher, at, &length, all.data, (int)all.length) != 1 || length <= 0)
        return kp_op_encrypts(op) ? STATUS_internal : STATUS_encrypted_data_invalid;
    out->at += length;
    return STATUS_ok;
}

static void wrap_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = kp_op_encrypts(op) ? WIRE_OUTPUT_WRAPPED : WIRE_OUTPUT_UNPADDED;
    *size = 0;
}

const struct kp_engine kp_engine_key_wrap = {wrap_begin, wrap_update, wrap_finish, wrap_describe, false};
