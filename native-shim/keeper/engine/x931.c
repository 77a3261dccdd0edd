/*
 * CKM_RSA_X9_31 and CKM_SHA1_RSA_X9_31 (PKCS#11 3.1, 6.1.10; ANSI X9.31, 4): 6B BB .. BB BA, the hash, and a trailer that says which
 * hash it is and ends in CC. The first takes hash and trailer from its caller, as the standard says; the last byte may be left to us. Of a signature and its negative the smaller
 * one is the signature.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rsa.h>
#include <string.h>

#include "../arena.h"
#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { HEADER = 0x6b, PADDING = 0xbb, END = 0xba, TRAILER_SHA1 = 0x33, TRAILER_END = 0xcc, OVERHEAD = 2 };

static int x931_begin(struct kp_op *op, const struct wire_params *p)
{
    int ok;

    (void)p;
    if (op->key->bits % 8 != 0)
        return STATUS_key_size_range;
    if (op->mechanism->algorithm) {
        op->md = EVP_MD_CTX_new();
        if (!op->md || EVP_DigestInit_ex2(op->md, kp_md(op->mechanism->algorithm), NULL) != 1)
            return STATUS_memory;
    }
    op->pkey = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    ok = op->pkey && (kp_op_verifies(op) ? EVP_PKEY_verify_recover_init(op->pkey) : EVP_PKEY_sign_init(op->pkey)) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(op->pkey, RSA_NO_PADDING) == 1;
    return ok ? STATUS_ok : STATUS_memory;
}

static int x931_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    if (op->md)
        return EVP_DigestUpdate(op->md, in.data, in.length) == 1 ? STATUS_ok : STATUS_internal;
    return kp_gather(op, in, kp_modulus_bytes(op) - OVERHEAD);
}

/* The encapsulated hash, as long as the modulus. */
static bool encapsulate(struct wire_bytes hash, uint8_t *out, size_t length)
{
    if (hash.length == 0 || hash.length > length - OVERHEAD)
        return false;
    memset(out, PADDING, length - hash.length);
    out[0] = HEADER;
    out[length - hash.length - 1] = END;
    memcpy(out + length - hash.length, hash.data, hash.length);
    return true;
}

/* n - x in the place of x, when `always` or that is less. */
static bool negate(const struct kp_op *op, uint8_t *x, size_t length, bool always)
{
    BIGNUM *n = NULL, *value = BN_bin2bn(x, (int)length, NULL), *other = BN_new();
    bool ok = value && other && EVP_PKEY_get_bn_param(op->key->pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 && BN_sub(other, n, value);

    if (ok && (always || BN_cmp(other, value) < 0))
        ok = !BN_is_negative(other) && BN_bn2binpad(other, x, (int)length) == (int)length;
    BN_free(n);
    BN_free(value);
    BN_free(other);
    return ok;
}

static int sign(struct kp_op *op, const uint8_t *encapsulated, uint8_t *room, struct wire_writer *out)
{
    size_t length = kp_modulus_bytes(op);

    if (EVP_PKEY_sign(op->pkey, room, &length, encapsulated, length) != 1 || length != kp_modulus_bytes(op) ||
        !negate(op, room, length, false))
        return STATUS_internal;
    wire_write_raw(out, room, length);
    return STATUS_ok;
}

/* Of the two numbers that a signature may come from, the one that ends as X9.31 says. */
static int verify(struct kp_op *op, const uint8_t *encapsulated, uint8_t *room, struct wire_bytes signature)
{
    size_t length = kp_modulus_bytes(op);

    if (signature.length != length)
        return STATUS_signature_len_range;
    if (EVP_PKEY_verify_recover(op->pkey, room, &length, signature.data, signature.length) != 1 || length != kp_modulus_bytes(op))
        return STATUS_signature_invalid;
    if ((room[length - 1] & 0xf) != (TRAILER_END & 0xf) && !negate(op, room, length, true))
        return STATUS_signature_invalid;
    return CRYPTO_memcmp(room, encapsulated, length) == 0 ? STATUS_ok : STATUS_signature_invalid;
}

/* A hash and the byte that says which it is (ISO/IEC 10118-3): what callers give who take CC for a part of the padding. */
static bool lacks_end(struct wire_bytes all)
{
    static const struct {
        size_t hash;
        uint8_t trailer;
    } rows[] = {{20, TRAILER_SHA1}, {32, 0x34}, {64, 0x35}, {48, 0x36}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (all.length == rows[i].hash + 1 && all.data[rows[i].hash] == rows[i].trailer)
            return true;
    return false;
}

static int finish_given(struct kp_op *op, struct wire_bytes in, uint8_t hash[EVP_MAX_MD_SIZE + 2], struct wire_bytes *all)
{
    int status = kp_gathered(op, in, kp_modulus_bytes(op) - OVERHEAD, all);

    if (status != STATUS_ok || !lacks_end(*all))
        return status;
    memcpy(hash, all->data, all->length);
    hash[all->length] = TRAILER_END;
    *all = (struct wire_bytes){hash, all->length + 1};
    return STATUS_ok;
}

static int finish_hash(struct kp_op *op, struct wire_bytes in, uint8_t hash[EVP_MAX_MD_SIZE + 2], struct wire_bytes *all)
{
    unsigned length = 0;

    if (!op->md)
        return finish_given(op, in, hash, all);
    if ((in.length && EVP_DigestUpdate(op->md, in.data, in.length) != 1) || EVP_DigestFinal_ex(op->md, hash, &length) != 1)
        return STATUS_internal;
    hash[length] = TRAILER_SHA1;
    hash[length + 1] = TRAILER_END;
    *all = (struct wire_bytes){hash, length + 2};
    return STATUS_ok;
}

static int x931_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    const size_t length = kp_modulus_bytes(op);
    uint8_t hash[EVP_MAX_MD_SIZE + 2], *room = kp_alloc(2 * length);
    struct wire_bytes all;
    int status = room ? finish_hash(op, in, hash, &all) : STATUS_memory;

    if (status == STATUS_ok && !encapsulate(all, room, length))
        status = STATUS_data_len_range;
    if (status == STATUS_ok && all.data[all.length - 1] != TRAILER_END)
        status = STATUS_data_invalid;
    if (status == STATUS_ok)
        status = kp_op_verifies(op) ? verify(op, room, room + length, signature) : sign(op, room, room + length, out);
    kp_free(room);
    return status;
}

static void x931_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = (uint32_t)kp_modulus_bytes(op);
}

const struct kp_engine kp_engine_x931 = {x931_begin, x931_update, x931_finish, x931_describe, false};
