/* AES, DES and triple DES in ECB and CBC (with and without padding), AES in CTR, OFB and CFB. */
#include "../crypto.h"
#include "cipher_length.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

static bool pads(const struct kp_op *op) { return op->mechanism->engine == ENGINE_cipher_pad; }

static int bad_length(const struct kp_op *op)
{
    return kp_op_encrypts(op) ? STATUS_data_len_range : STATUS_encrypted_data_len_range;
}

static int cipher_begin(struct kp_op *op, const struct wire_params *p)
{
    uint8_t room[KP_CIPHER_KEY_ROOM];
    const EVP_CIPHER *cipher;
    bool ok;

    if (op->warm)
        return EVP_CipherInit_ex2(op->cipher, NULL, NULL, p->iv.data, kp_op_encrypts(op), NULL) == 1 ? STATUS_ok
                                                                                                     : STATUS_memory;
    cipher = kp_cipher(op->mechanism->algorithm, op->key->secret.length);
    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher || !cipher)
        return STATUS_memory;
    ok = EVP_CipherInit_ex2(op->cipher, cipher, kp_key_for_cipher(op->key, room), p->iv.data, kp_op_encrypts(op), NULL) == 1;
    wire_wipe(room, sizeof(room));
    if (!ok)
        return STATUS_memory;
    return EVP_CIPHER_CTX_set_padding(op->cipher, pads(op)) == 1 ? STATUS_ok : STATUS_internal;
}

static int cipher_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    uint8_t *at = kp_out_room(out, in.length + WIRE_BLOCK_BYTES);
    int length = 0;

    if (!at)
        return STATUS_memory;
    if (EVP_CipherUpdate(op->cipher, at, &length, in.data, (int)in.length) != 1)
        return STATUS_internal;
    out->at += length;
    return STATUS_ok;
}

/* The length is no secret; what is wrong with the padding is one: one code. */
static int cipher_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    int length = 0, status = in.length ? cipher_update(op, in, out) : STATUS_ok;
    bool whole = op->total % wire_block_bytes(op->mechanism) == 0 && (op->total > 0 || !pads(op));
    uint8_t *at = kp_out_room(out, WIRE_BLOCK_BYTES);

    (void)signature;
    if (status != STATUS_ok)
        return status;
    if (!whole && !(pads(op) && kp_op_encrypts(op)))
        return bad_length(op);
    if (!at)
        return STATUS_memory;
    if (EVP_CipherFinal_ex(op->cipher, at, &length) != 1)
        return kp_op_encrypts(op) ? STATUS_internal : STATUS_encrypted_data_invalid;
    out->at += length;
    return STATUS_ok;
}

static void cipher_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_INPUT;
    if (!pads(op))
        return;
    *rule = kp_op_encrypts(op) ? WIRE_OUTPUT_PADDED : WIRE_OUTPUT_UNPADDED;
    *size = kp_op_encrypts(op) ? (uint32_t)wire_block_bytes(op->mechanism) : 0;
}

static int ctr_begin(struct kp_op *op, const struct wire_params *p)
{
    op->blocks = wire_counter_room(p->iv.data, p->bits);
    return cipher_begin(op, p);
}

static bool wraps(const struct kp_op *op) { return (op->total + WIRE_BLOCK_BYTES - 1) / WIRE_BLOCK_BYTES > op->blocks; }

static int ctr_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    return wraps(op) ? bad_length(op) : cipher_update(op, in, out);
}

static int ctr_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    (void)signature;
    return in.length ? ctr_update(op, in, out) : STATUS_ok;
}

/* OFB and CFB take any number of bytes, and have nothing left at their end. */
static int stream_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    (void)signature;
    return in.length ? cipher_update(op, in, out) : STATUS_ok;
}

const struct kp_engine kp_engine_cipher = {cipher_begin, cipher_update, cipher_finish, cipher_describe, true};
const struct kp_engine kp_engine_ctr = {ctr_begin, ctr_update, ctr_finish, cipher_describe, true};
const struct kp_engine kp_engine_stream = {cipher_begin, cipher_update, stream_finish, cipher_describe, true};
