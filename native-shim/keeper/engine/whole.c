/*
 * AES modes that need all of their data at once: CBC with ciphertext stealing (CTS), in the order of blocks that NIST calls CS1,
 * as NSS has it; and XTS, whose parameter is the tweak of one data unit. At most one frame of data.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { BLOCK = 16 };

static int whole_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_CIPHER *cipher = kp_cipher(op->mechanism->algorithm, op->key->secret.length);
    OSSL_PARAM cs1[] = {OSSL_PARAM_construct_utf8_string(OSSL_CIPHER_PARAM_CTS_MODE, (char[]){"CS1"}, 0),
                        OSSL_PARAM_construct_end()};
    bool cts = op->mechanism->engine == ENGINE_cts;

    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher || !cipher)
        return STATUS_memory;
    return EVP_CipherInit_ex2(op->cipher, cipher, op->key->secret.data, p->iv.data, kp_op_encrypts(op),
                              cts ? cs1 : NULL) == 1
               ? STATUS_ok
               : STATUS_internal;
}

static int whole_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return kp_gather(op, in, WIRE_DATA_MAX);
}

static int whole_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    int n, status = kp_gathered(op, in, WIRE_DATA_MAX, &all);
    uint8_t *at;

    (void)signature;
    if (status != STATUS_ok)
        return status;
    if (all.length < BLOCK)
        return kp_op_encrypts(op) ? STATUS_data_len_range : STATUS_encrypted_data_len_range;
    at = kp_out_room(out, all.length + BLOCK);
    if (!at)
        return STATUS_memory;
    if (EVP_CipherUpdate(op->cipher, at, &n, all.data, (int)all.length) != 1 || n != (int)all.length)
        return STATUS_internal;
    out->at += all.length;
    return STATUS_ok;
}

static void whole_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    (void)op;
    *rule = WIRE_OUTPUT_INPUT;
    *size = 0;
}

const struct kp_engine kp_engine_whole = {whole_begin, whole_update, whole_finish, whole_describe, false};
