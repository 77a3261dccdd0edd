#include "engine.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "../key_pq.h"
#include "mechanism.h"
#include "../../wire/ring.h"

enum { GATHER_ALL_MAX = 256 * 1024 * 1024 };

static _Atomic size_t gathered_bytes;

/* Engines without a row here make keys: by messages of their own, and the table in derive.c. */
static const struct kp_engine *const engines[WIRE_ENGINES] = {
    [ENGINE_cipher] = &kp_engine_cipher,     [ENGINE_cipher_pad] = &kp_engine_cipher,
    [ENGINE_ctr] = &kp_engine_ctr,           [ENGINE_gcm] = &kp_engine_gcm,
    [ENGINE_cmac] = &kp_engine_mac,          [ENGINE_key_wrap] = &kp_engine_key_wrap,
    [ENGINE_hmac] = &kp_engine_mac,          [ENGINE_digest] = &kp_engine_digest,
    [ENGINE_rsa_pkcs] = &kp_engine_rsa_pkcs, [ENGINE_rsa_oaep] = &kp_engine_rsa_oaep,
    [ENGINE_rsa_pss] = &kp_engine_rsa_pss,   [ENGINE_ecdsa] = &kp_engine_ecdsa,
    [ENGINE_dsa] = &kp_engine_ecdsa,         [ENGINE_cbc_mac] = &kp_engine_cbc_mac,
    [ENGINE_blake2b_mac] = &kp_engine_blake2b_mac,
    [ENGINE_sha] = &kp_engine_sha,           [ENGINE_blake2b] = &kp_engine_blake2b,
    [ENGINE_x931] = &kp_engine_x931,         [ENGINE_stream] = &kp_engine_stream,
    [ENGINE_ccm] = &kp_engine_ccm,           [ENGINE_gmac] = &kp_engine_gmac,
    [ENGINE_cts] = &kp_engine_whole,         [ENGINE_xts] = &kp_engine_whole,
    [ENGINE_chacha] = &kp_engine_chacha,     [ENGINE_poly1305] = &kp_engine_poly1305,
    [ENGINE_key_wrap_pkcs7] = &kp_engine_key_wrap_pkcs7,
    [ENGINE_eddsa] = &kp_engine_eddsa,       [ENGINE_ecdh] = NULL,
    [ENGINE_rsa_x509] = &kp_engine_rsa_x509, [ENGINE_rsa_aes] = NULL,
    [ENGINE_encrypt_data] = NULL,            [ENGINE_hkdf] = NULL,
    [ENGINE_combine] = NULL,                 [ENGINE_tls_mac] = &kp_engine_tls_mac,
    [ENGINE_ssl3_mac] = &kp_engine_ssl3_mac,
    [ENGINE_pq_sign] = &kp_engine_pq_sign,   [ENGINE_pq_sign_digest] = &kp_engine_pq_sign_digest,
};

static const uint32_t needs[WIRE_OPERATIONS] = {
    [WIRE_ENCRYPT] = CAN_ENCRYPT, [WIRE_DECRYPT] = CAN_DECRYPT, [WIRE_SIGN] = CAN_SIGN,
    [WIRE_VERIFY] = CAN_VERIFY,   [WIRE_DIGEST] = CAN_DIGEST,   [WIRE_SIGN_RECOVER] = CAN_SIGN_RECOVER,
    [WIRE_VERIFY_RECOVER] = CAN_VERIFY_RECOVER,
};

bool kp_mechanism_takes(const struct wire_mechanism *m, uint64_t key_type)
{
    return key_type == m->key_type || (m->key_type == CKK_DES3 && key_type == CKK_DES2);
}

/* A public key encrypts and verifies; decrypting and signing need the private one. */
static bool key_suits(const struct wire_mechanism *m, enum wire_operation operation, const struct kp_key *key)
{
    bool secret = operation == WIRE_DECRYPT || operation == WIRE_SIGN || operation == WIRE_SIGN_RECOVER;

    if (operation == WIRE_DIGEST)
        return !key;
    if (!key || !kp_mechanism_takes(m, key->type))
        return false;
    return !(secret && key->object_class == CKO_PUBLIC_KEY);
}

static struct kp_contexts *contexts_of(const struct kp_op *op)
{
    static struct kp_contexts without_key;

    return op->key ? &op->key->contexts : &without_key;
}

/* Restarting a hash that is bound to a key costs as much as starting it. */
static bool may_keep(const struct kp_op *op)
{
    if (!op->sound || !op->engine->keeps)
        return false;
    return op->cipher || op->aead || op->mac || op->pkey || op->operation == WIRE_DIGEST;
}

int kp_op_begin_with(struct kp_op *op, uint64_t mechanism, enum wire_operation operation, struct kp_key *key,
                     struct wire_bytes params)
{
    struct wire_params p;
    const struct wire_mechanism *m = wire_mechanism_find(mechanism);
    int status;

    memset(op, 0, sizeof(*op));
    op->key = key;
    if (operation < WIRE_ENCRYPT || operation >= WIRE_OPERATIONS || !m || !(m->flags & needs[operation]) ||
        m->engine >= sizeof(engines) / sizeof(engines[0]) || !engines[m->engine] || !kp_mechanism_works(m))
        return STATUS_mechanism_invalid;
    if (!key_suits(m, operation, key))
        return STATUS_key_type_inconsistent;
    if (!wire_params_read(m->layout, params, &p))
        return STATUS_mechanism_param_invalid;
    op->mechanism = m;
    op->engine = engines[m->engine];
    op->operation = operation;
    if (op->engine->keeps)
        kp_context_take(contexts_of(op), op);
    kp_crypto_try();
    status = op->engine->begin(op, &p);
    op->sound = status == STATUS_ok;
    return op->sound ? status : kp_crypto_failed(status);
}

int kp_op_begin(struct kp_op *op, uint64_t mechanism, enum wire_operation operation, struct kp_key *key,
                struct wire_bytes params)
{
    return kp_op_begin_with(op, mechanism, operation, key ? kp_key_ref(key) : NULL, params);
}

int kp_op_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    int status;

    op->total += in.length;
    if (in.length == 0)
        return STATUS_ok;
    status = op->engine->update(op, in, out);
    op->sound = op->sound && status == STATUS_ok;
    return status;
}

int kp_op_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    int status;

    op->total += in.length;
    kp_crypto_try();
    status = op->engine->finish(op, in, signature, out);
    op->sound = op->sound && status == STATUS_ok;
    return status == STATUS_ok ? status : kp_crypto_failed(status);
}

bool kp_op_has_more(const struct kp_op *op) { return op->given > 0; }

void kp_op_more(struct kp_op *op, struct wire_writer *out)
{
    size_t rest = op->length - op->given, most = kp_out_max(out), piece = rest < most ? rest : most;

    wire_write_raw(out, op->data + op->given, piece);
    op->given += piece;
}

static void gather_free(struct kp_op *op)
{
    if (!op->data)
        return;
    wire_wipe(op->data, op->room);
    free(op->data);
    atomic_fetch_sub(&gathered_bytes, op->room);
}

void kp_op_end(struct kp_op *op)
{
    if (may_keep(op))
        kp_context_keep(contexts_of(op), op);
    else
        kp_context_free(op);
    kp_key_drop(op->key);
    gather_free(op);
    memset(op, 0, sizeof(*op));
}

void kp_op_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = 0;
    op->engine->describe(op, rule, size);
}

int kp_op_once(uint64_t mechanism, enum wire_operation operation, struct kp_key *key, struct wire_bytes params,
               struct wire_bytes in, struct wire_writer *out)
{
    struct wire_bytes none = {NULL, 0};
    struct kp_op op;
    int status = kp_op_begin(&op, mechanism, operation, key, params);

    if (status == STATUS_ok)
        status = kp_op_finish(&op, in, none, out);
    kp_op_end(&op);
    return status;
}

size_t kp_out_max(const struct wire_writer *out)
{
    return (size_t)(out->end - out->start) > WIRE_DATA_MAX ? WIRE_DATA_MAX : RING_DATA_MAX;
}

uint8_t *kp_out_room(const struct wire_writer *out, size_t length)
{
    return !out->full && (size_t)(out->end - out->at) >= length ? out->at : NULL;
}

static int grow(struct kp_op *op, size_t wanted)
{
    size_t room = op->room ? op->room : 4096;
    uint8_t *data;

    while (room < wanted)
        room *= 2;
    if (atomic_fetch_add(&gathered_bytes, room) + room > GATHER_ALL_MAX || !(data = malloc(room))) {
        atomic_fetch_sub(&gathered_bytes, room);
        return STATUS_memory;
    }
    if (op->length)
        memcpy(data, op->data, op->length);
    gather_free(op);
    op->data = data;
    op->room = room;
    return STATUS_ok;
}

int kp_gather(struct kp_op *op, struct wire_bytes in, size_t max)
{
    int status = STATUS_ok;

    if (in.length > max || op->length > max - in.length)
        return op->operation == WIRE_DECRYPT ? STATUS_encrypted_data_len_range : STATUS_data_len_range;
    if (op->length + in.length > op->room)
        status = grow(op, op->length + in.length);
    if (status != STATUS_ok || in.length == 0)
        return status;
    memcpy(op->data + op->length, in.data, in.length);
    op->length += in.length;
    return STATUS_ok;
}

int kp_gathered(struct kp_op *op, struct wire_bytes in, size_t max, struct wire_bytes *all)
{
    static const uint8_t nothing;
    int status;

    *all = in.data ? in : (struct wire_bytes){&nothing, 0};
    if (in.length > max)
        return op->operation == WIRE_DECRYPT ? STATUS_encrypted_data_len_range : STATUS_data_len_range;
    if (op->length == 0)
        return STATUS_ok;
    status = kp_gather(op, in, max);
    *all = (struct wire_bytes){op->data, op->length};
    return status;
}

int kp_hash_update(struct kp_op *op, struct wire_bytes in)
{
    int ok = kp_op_verifies(op) ? EVP_DigestVerifyUpdate(op->md, in.data, in.length) : EVP_DigestSignUpdate(op->md, in.data, in.length);

    return ok == 1 ? STATUS_ok : STATUS_internal;
}

int kp_compare(const uint8_t *mine, size_t length, struct wire_bytes signature)
{
    if (signature.length != length)
        return STATUS_signature_len_range;
    return CRYPTO_memcmp(mine, signature.data, length) == 0 ? STATUS_ok : STATUS_signature_invalid;
}

int kp_mac_end(const struct kp_op *op, const uint8_t *code, size_t length, struct wire_bytes signature, struct wire_writer *out)
{
    if (kp_op_verifies(op))
        return kp_compare(code, length, signature);
    wire_write_raw(out, code, length);
    return STATUS_ok;
}

void kp_tag_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = op->tag;
}
