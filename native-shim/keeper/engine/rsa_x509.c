/*
 * CKM_RSA_X_509 (PKCS#11 3.1, 6.1.8): RSA alone, on numbers as long as the modulus; what is shorter gets zeros in front. It is
 * malleable and an oracle for every program that may use it: for callers that do their padding themselves.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "../arena.h"
#include "engine.h"
#include "mechanism.h"

static int x509_begin(struct kp_op *op, const struct wire_params *p)
{
    static int (*const init[WIRE_OPERATIONS])(EVP_PKEY_CTX *) = {
        [WIRE_ENCRYPT] = EVP_PKEY_encrypt_init,
        [WIRE_DECRYPT] = EVP_PKEY_decrypt_init,
        [WIRE_SIGN] = EVP_PKEY_sign_init,
        [WIRE_VERIFY] = EVP_PKEY_verify_recover_init,
        [WIRE_SIGN_RECOVER] = EVP_PKEY_sign_init,
        [WIRE_VERIFY_RECOVER] = EVP_PKEY_verify_recover_init,
    };

    (void)p;
    op->pkey = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    if (!op->pkey || init[op->operation](op->pkey) != 1)
        return STATUS_memory;
    return EVP_PKEY_CTX_set_rsa_padding(op->pkey, RSA_NO_PADDING) == 1 ? STATUS_ok : STATUS_internal;
}

static int x509_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return kp_gather(op, in, kp_modulus_bytes(op));
}

static int verify(struct kp_op *op, struct wire_bytes signature, const uint8_t *padded, uint8_t *room)
{
    size_t length = kp_modulus_bytes(op);

    if (signature.length != length)
        return STATUS_signature_len_range;
    if (EVP_PKEY_verify_recover(op->pkey, room, &length, signature.data, signature.length) != 1)
        return STATUS_signature_invalid;
    return length == kp_modulus_bytes(op) && CRYPTO_memcmp(room, padded, length) == 0 ? STATUS_ok : STATUS_signature_invalid;
}

/* `padded` and `room` have the length of the modulus; the result is in `room`. */
static int run(struct kp_op *op, struct wire_bytes signature, const uint8_t *padded, uint8_t *room)
{
    static int (*const compute[WIRE_OPERATIONS])(EVP_PKEY_CTX *, uint8_t *, size_t *, const uint8_t *, size_t) = {
        [WIRE_ENCRYPT] = EVP_PKEY_encrypt,
        [WIRE_DECRYPT] = EVP_PKEY_decrypt,
        [WIRE_SIGN] = EVP_PKEY_sign,
        [WIRE_SIGN_RECOVER] = EVP_PKEY_sign,
        [WIRE_VERIFY_RECOVER] = EVP_PKEY_verify_recover,
    };
    static const int not_below_modulus[WIRE_OPERATIONS] = {
        [WIRE_ENCRYPT] = STATUS_data_invalid,      [WIRE_DECRYPT] = STATUS_encrypted_data_invalid,
        [WIRE_SIGN] = STATUS_data_invalid,         [WIRE_SIGN_RECOVER] = STATUS_data_invalid,
        [WIRE_VERIFY_RECOVER] = STATUS_signature_invalid,
    };
    size_t length = kp_modulus_bytes(op);
    int ok;

    if (kp_op_verifies(op))
        return verify(op, signature, padded, room);
    ok = compute[op->operation](op->pkey, room, &length, padded, length);
    if (ok == 1 && length == kp_modulus_bytes(op))
        return STATUS_ok;
    return not_below_modulus[op->operation];
}

static int x509_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    size_t length = kp_modulus_bytes(op);
    int status = kp_gathered(op, in, length, &all);
    uint8_t *padded;

    if (status == STATUS_ok && op->operation == WIRE_DECRYPT && all.length != length)
        status = STATUS_encrypted_data_len_range;
    if (op->operation == WIRE_VERIFY_RECOVER && (status != STATUS_ok || all.length != length))
        status = STATUS_signature_len_range;
    if (status != STATUS_ok)
        return status;
    padded = kp_alloc(2 * length);
    if (!padded)
        return STATUS_memory;
    memset(padded, 0, length);
    memcpy(padded + length - all.length, all.data, all.length);
    status = run(op, signature, padded, padded + length);
    if (status == STATUS_ok && !kp_op_verifies(op))
        wire_write_raw(out, padded + length, length);
    kp_free(padded);
    return status;
}

static void x509_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = (uint32_t)kp_modulus_bytes(op);
}

const struct kp_engine kp_engine_rsa_x509 = {x509_begin, x509_update, x509_finish, x509_describe, false};
