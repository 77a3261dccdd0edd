/*
 * ChaCha20 (PKCS#11 3.1, 6.48): RFC 8439's, with a nonce of 12 bytes and a counter of 4, or the original one with 8 and 8. OpenSSL
 * takes both as one initial value of 16 bytes, counter first. A counter never wraps.
 */
#include <openssl/evp.h>
#include <string.h>

#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { BLOCK = 64, IV_BYTES = 16 };

static uint64_t blocks_left(struct wire_bytes counter)
{
    uint64_t value = 0;

    for (size_t i = counter.length; i > 0; i--)
        value = value << 8 | counter.data[i - 1];
    return counter.length == 4 ? (UINT64_C(1) << 32) - value : UINT64_MAX - value;
}

static int chacha_begin(struct kp_op *op, const struct wire_params *p)
{
    uint8_t iv[IV_BYTES];

    memcpy(iv, p->point.data, p->point.length);
    memcpy(iv + p->point.length, p->iv.data, p->iv.length);
    op->blocks = blocks_left(p->point);
    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher || EVP_CipherInit_ex2(op->cipher, kp_cipher("CHACHA20", op->key->secret.length),
                                          op->key->secret.data, iv, kp_op_encrypts(op), NULL) != 1)
        return STATUS_memory;
    return STATUS_ok;
}

static int chacha_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    uint8_t *at = kp_out_room(out, in.length);
    int n = 0;

    if ((op->total + BLOCK - 1) / BLOCK > op->blocks)
        return kp_op_encrypts(op) ? STATUS_data_len_range : STATUS_encrypted_data_len_range;
    if (!at || EVP_CipherUpdate(op->cipher, at, &n, in.data, (int)in.length) != 1)
        return STATUS_memory;
    out->at += n;
    return STATUS_ok;
}

static int chacha_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    (void)signature;
    return in.length ? chacha_update(op, in, out) : STATUS_ok;
}

static void chacha_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    (void)op;
    *rule = WIRE_OUTPUT_INPUT;
    *size = 0;
}

const struct kp_engine kp_engine_chacha = {chacha_begin, chacha_update, chacha_finish, chacha_describe, false};
