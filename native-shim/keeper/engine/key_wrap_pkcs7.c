/* CKM_AES_KEY_WRAP_PKCS7 (PKCS#11 3.1, 6.16): PKCS #7 padding to a multiple of 8 bytes, then RFC 3394. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "../arena.h"
#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { UNIT = 8 };

static int pkcs7_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_CIPHER *cipher = kp_cipher("WRAP", op->key->secret.length);

    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher)
        return STATUS_memory;
    EVP_CIPHER_CTX_set_flags(op->cipher, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    return EVP_CipherInit_ex2(op->cipher, cipher, op->key->secret.data, p->iv.length ? p->iv.data : NULL,
                              kp_op_encrypts(op), NULL) == 1
               ? STATUS_ok
               : STATUS_internal;
}

static int pkcs7_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return kp_gather(op, in, WIRE_DATA_MAX);
}

/* RFC 3394 wraps two units at least: what pads to one is refused. */
static int seal(struct kp_op *op, struct wire_bytes all, uint8_t *at, size_t *length)
{
    size_t padded = (all.length / UNIT + 1) * UNIT;
    uint8_t *plain;
    int n = 0, ok;

    if (padded < 2 * UNIT)
        return STATUS_data_len_range;
    plain = kp_alloc(padded);
    if (!plain)
        return STATUS_memory;
    memcpy(plain, all.data, all.length);
    memset(plain + all.length, (int)(padded - all.length), padded - all.length);
    ok = EVP_CipherUpdate(op->cipher, at, &n, plain, (int)padded);
    kp_free(plain);
    *length = (size_t)n;
    return ok == 1 && n > 0 ? STATUS_ok : STATUS_internal;
}

/* RFC 3394 authenticates the padding: a bad one can only have been made by who has the key. */
static int open_to(struct kp_op *op, struct wire_bytes all, uint8_t *at, size_t *length)
{
    int n = 0;
    uint8_t pad;
    bool bad = false;

    if (all.length % UNIT || all.length < 3 * UNIT)
        return STATUS_encrypted_data_len_range;
    if (EVP_CipherUpdate(op->cipher, at, &n, all.data, (int)all.length) != 1 || n < 2 * UNIT)
        return STATUS_encrypted_data_invalid;
    pad = at[n - 1];
    for (int i = 1; i <= pad && i <= UNIT; i++)
        bad |= at[n - i] != pad;
    if (bad || pad == 0 || pad > UNIT) {
        wire_wipe(at, (size_t)n);
        return STATUS_encrypted_data_invalid;
    }
    *length = (size_t)n - pad;
    return STATUS_ok;
}

static int pkcs7_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    size_t length = 0;
    int status = kp_gathered(op, in, WIRE_DATA_MAX, &all);
    uint8_t *at = kp_out_room(out, all.length + 3 * UNIT);

    (void)signature;
    if (status != STATUS_ok)
        return status;
    if (!at)
        return STATUS_memory;
    status = kp_op_encrypts(op) ? seal(op, all, at, &length) : open_to(op, all, at, &length);
    out->at += length;
    return status;
}

static void pkcs7_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = kp_op_encrypts(op) ? WIRE_OUTPUT_WRAPPED_PADDED : WIRE_OUTPUT_UNPADDED;
    *size = 0;
}

const struct kp_engine kp_engine_key_wrap_pkcs7 = {pkcs7_begin, pkcs7_update, pkcs7_finish, pkcs7_describe, false};
