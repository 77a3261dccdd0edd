/*
 * CKM_AES_MAC, CKM_DES_MAC, CKM_DES3_MAC and their general forms (PKCS#11 3.1, 6.13.6; FIPS 113): CBC with an initial value of zeros over data
 * that are filled with zeros, of which the last block is cut, to half unless the parameter says. Safe only where all
 * messages have one length; of nothing there is no last block.
 */
#include <openssl/evp.h>

#include "../crypto.h"
#include "cipher_length.h"
#include "engine.h"
#include "mechanism.h"

enum { BLOCK_MAX = 16, SCRATCH = 1024 };

static int cbc_mac_begin(struct kp_op *op, const struct wire_params *p)
{
    static const uint8_t zeros[BLOCK_MAX];
    const size_t block = wire_block_bytes(op->mechanism);
    const EVP_CIPHER *cipher = kp_cipher(op->mechanism->algorithm, op->key->secret.length);
    uint8_t room[KP_CIPHER_KEY_ROOM];
    bool ok;

    op->tag = op->mechanism->layout == LAYOUT_mac_length ? p->bits : (uint32_t)block / 2;
    if (op->tag > block)
        return STATUS_mechanism_param_invalid;
    op->cipher = EVP_CIPHER_CTX_new();
    ok = op->cipher && EVP_EncryptInit_ex2(op->cipher, cipher, kp_key_for_cipher(op->key, room), zeros, NULL) == 1 &&
         EVP_CIPHER_CTX_set_padding(op->cipher, 0) == 1;
    wire_wipe(room, sizeof(room));
    return ok ? STATUS_ok : STATUS_memory;
}

/* Enciphers and forgets. */
static int absorb(struct kp_op *op, struct wire_bytes in)
{
    uint8_t scratch[SCRATCH + BLOCK_MAX];
    int status = STATUS_ok, length;

    for (size_t at = 0; status == STATUS_ok && at < in.length; at += SCRATCH) {
        const size_t piece = in.length - at < SCRATCH ? in.length - at : SCRATCH;

        if (EVP_EncryptUpdate(op->cipher, scratch, &length, in.data + at, (int)piece) != 1)
            status = STATUS_internal;
    }
    wire_wipe(scratch, sizeof(scratch));
    return status;
}

static int cbc_mac_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return absorb(op, in);
}

static int cbc_mac_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    static const uint8_t zeros[BLOCK_MAX];
    const size_t block = wire_block_bytes(op->mechanism), rest = op->total % block;
    uint8_t code[BLOCK_MAX];
    int status = absorb(op, in);

    if (status == STATUS_ok && rest)
        status = absorb(op, (struct wire_bytes){zeros, block - rest});
    if (status == STATUS_ok && op->total == 0)
        status = STATUS_data_len_range;
    if (status == STATUS_ok && EVP_CIPHER_CTX_get_updated_iv(op->cipher, code, block) != 1)
        status = STATUS_internal;
    if (status == STATUS_ok)
        status = kp_mac_end(op, code, op->tag, signature, out);
    wire_wipe(code, sizeof(code));
    return status;
}

const struct kp_engine kp_engine_cbc_mac = {cbc_mac_begin, cbc_mac_update, cbc_mac_finish, kp_tag_describe, false};
