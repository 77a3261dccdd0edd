/*
 * ML-DSA and SLH-DSA. What is signed (M' of FIPS 204, 5.2 and 5.4, and FIPS 205, 10.2) is put together here, and OpenSSL told so: it
 * would copy a message into the arena otherwise, and knows no prehash. M' is 0 and the context, then the message; or 1 and the
 * context, then the hash's identifier and the hash of the message.
 */
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

enum { MESSAGE_MAX = 64 * 1024 * 1024, OID_BYTES = 11, HASH_MAX = 64, HEAD_MAX = 2 + 255 };

/* The last byte of the identifiers below 2.16.840.1.101.3.4.2, and how long the hash is: SHAKE128 gives 256 bits here, SHAKE256 512. */
static const struct prehash {
    const char *name; /* OpenSSL's, as mechanisms.def has it */
    uint8_t last, bytes;
    bool extendable;
} prehashes[] = {
    {"SHA2-256", 1, 32, false}, {"SHA2-384", 2, 48, false}, {"SHA2-512", 3, 64, false},  {"SHA2-224", 4, 28, false},
    {"SHA2-512/224", 5, 28, false}, {"SHA2-512/256", 6, 32, false},
    {"SHA3-224", 7, 28, false}, {"SHA3-256", 8, 32, false}, {"SHA3-384", 9, 48, false},  {"SHA3-512", 10, 64, false},
    {"SHAKE-128", 11, 32, true}, {"SHAKE-256", 12, 64, true},
};
enum { PREHASHES = sizeof(prehashes) / sizeof(prehashes[0]) };

static const struct prehash *prehash_named(const char *name)
{
    for (size_t i = 0; i < PREHASHES && name; i++)
        if (strcmp(prehashes[i].name, name) == 0)
            return &prehashes[i];
    return NULL;
}

/* That the caller made, and says by CKM_; those of SHAKE have no number. */
static const struct prehash *prehash_made(uint64_t mechanism)
{
    const EVP_MD *md = kp_md_of_mechanism(mechanism);

    for (size_t i = 0; i < PREHASHES && md; i++)
        if (kp_md(prehashes[i].name) == md)
            return &prehashes[i];
    return NULL;
}

static int add(struct kp_op *op, const void *bytes, size_t length)
{
    return kp_gather(op, (struct wire_bytes){bytes, length}, MESSAGE_MAX + HEAD_MAX);
}

static int add_head(struct kp_op *op, uint8_t domain, struct wire_bytes context)
{
    const uint8_t head[2] = {domain, (uint8_t)context.length};
    int status = add(op, head, sizeof(head));

    return status == STATUS_ok ? add(op, context.data, context.length) : status;
}

static int add_identifier(struct kp_op *op, const struct prehash *h)
{
    uint8_t oid[OID_BYTES] = {0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0};

    oid[OID_BYTES - 1] = h->last;
    return add(op, oid, sizeof(oid));
}

static int begin_hash(struct kp_op *op)
{
    op->md = EVP_MD_CTX_new();
    return op->md && EVP_DigestInit_ex2(op->md, kp_md(op->mechanism->algorithm), NULL) == 1 ? STATUS_ok : STATUS_memory;
}

static int sign_begin(struct kp_op *op, const struct wire_params *p)
{
    const struct prehash *h = prehash_named(op->mechanism->algorithm);
    int status;

    op->deterministic = p->hedge == CKH_DETERMINISTIC_REQUIRED;
    status = add_head(op, h ? 1 : 0, p->aad);
    if (status != STATUS_ok || !h)
        return status;
    status = add_identifier(op, h);
    return status == STATUS_ok ? begin_hash(op) : status;
}

static int sign_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    if (!op->md)
        return add(op, in.data, in.length);
    return EVP_DigestUpdate(op->md, in.data, in.length) == 1 ? STATUS_ok : STATUS_internal;
}

static int add_hash(struct kp_op *op)
{
    const struct prehash *h = prehash_named(op->mechanism->algorithm);
    uint8_t hash[HASH_MAX];
    int ok = h->extendable ? EVP_DigestFinalXOF(op->md, hash, h->bytes) : EVP_DigestFinal_ex(op->md, hash, NULL);

    return ok == 1 ? add(op, hash, h->bytes) : STATUS_internal;
}

static EVP_MD_CTX *start(struct kp_op *op)
{
    int raw = 0, deterministic = op->deterministic;
    OSSL_PARAM set[] = {OSSL_PARAM_construct_int("message-encoding", &raw),
                        OSSL_PARAM_construct_int("deterministic", &deterministic), OSSL_PARAM_construct_end()};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = !ctx                 ? 0
             : kp_op_verifies(op) ? EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, op->key->pkey, set)
                                  : EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, op->key->pkey, set);

    if (ok == 1)
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

static size_t signature_bytes(const struct kp_op *op) { return (size_t)EVP_PKEY_get_size(op->key->pkey); }

static int run(struct kp_op *op, struct wire_bytes signature, struct wire_writer *out)
{
    size_t length = signature_bytes(op);
    uint8_t *at = kp_op_verifies(op) ? NULL : kp_out_room(out, length);
    EVP_MD_CTX *ctx = NULL;
    int status = STATUS_memory;

    if (kp_op_verifies(op) && signature.length != length)
        return STATUS_signature_len_range;
    if ((at || kp_op_verifies(op)) && (ctx = start(op)) != NULL) {
        if (kp_op_verifies(op))
            status = EVP_DigestVerify(ctx, signature.data, signature.length, op->data, op->length) == 1
                         ? STATUS_ok
                         : STATUS_signature_invalid;
        else
            status = EVP_DigestSign(ctx, at, &length, op->data, op->length) == 1 ? STATUS_ok : STATUS_internal;
    }
    if (status == STATUS_ok && at)
        out->at += length;
    EVP_MD_CTX_free(ctx);
    return status;
}

static int sign_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    int status = in.length ? sign_update(op, in, out) : STATUS_ok;

    if (status == STATUS_ok && op->md)
        status = add_hash(op);
    return status == STATUS_ok ? run(op, signature, out) : status;
}

/* CKM_HASH_ML_DSA and CKM_HASH_SLH_DSA: the caller has hashed the data. */
static int digest_begin(struct kp_op *op, const struct wire_params *p)
{
    const struct prehash *h = prehash_made(p->hash);
    int status;

    if (!h)
        return STATUS_mechanism_param_invalid;
    op->deterministic = p->hedge == CKH_DETERMINISTIC_REQUIRED;
    op->tag = h->bytes;
    status = add_head(op, 1, p->aad);
    return status == STATUS_ok ? add_identifier(op, h) : status;
}

/* kp_op counts what came in. */
static int digest_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return op->total <= op->tag ? add(op, in.data, in.length) : STATUS_data_len_range;
}

static int digest_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    int status = in.length ? digest_update(op, in, out) : STATUS_ok;

    if (status == STATUS_ok && op->total != op->tag)
        status = STATUS_data_len_range;
    return status == STATUS_ok ? run(op, signature, out) : status;
}

static void describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = (uint32_t)signature_bytes(op);
}

const struct kp_engine kp_engine_pq_sign = {sign_begin, sign_update, sign_finish, describe, false};
const struct kp_engine kp_engine_pq_sign_digest = {digest_begin, digest_update, digest_finish, describe, false};
