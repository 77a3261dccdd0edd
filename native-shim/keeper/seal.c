#include "seal.h"

#include <openssl/evp.h>
#include <string.h>

#include "arena.h"
#include "crypto.h"
#include "cryptoki.h"

enum { SEAL_VERSION = 1, NONCE = 12, TAG = 16, HEAD = 1 + NONCE, KIND = 4 + 8, OVERHEAD = HEAD + KIND + TAG };

static bool can_seal(const struct kp_key *by)
{
    return by->object_class == CKO_SECRET_KEY && by->type == CKK_AES && by->secret.length == 32;
}

/* Begins the cipher over nonce and associated data; the caller frees the context. */
static EVP_CIPHER_CTX *start(const struct kp_key *by, const uint8_t *nonce, struct wire_bytes aad, int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int length;

    if (ctx && EVP_CipherInit_ex2(ctx, kp_cipher("GCM", 32), by->secret.data, nonce, encrypt, NULL) == 1 &&
        (aad.length == 0 || EVP_CipherUpdate(ctx, NULL, &length, aad.data, (int)aad.length) == 1))
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

int kp_seal(const struct kp_key *by, const struct kp_key *key, struct wire_bytes aad, struct wire_writer *w)
{
    size_t inner = KIND + key->length;
    EVP_CIPHER_CTX *ctx = NULL;
    uint8_t kind[KIND], *at = w->at, *cipher = at + HEAD;
    struct wire_writer k;
    int length, status = STATUS_internal;

    if (!can_seal(by))
        return STATUS_key_type_inconsistent;
    if (inner + HEAD + TAG > WIRE_BLOB_MAX || (size_t)(w->end - w->at) < inner + HEAD + TAG)
        return STATUS_memory;
    at[0] = SEAL_VERSION;
    kp_random(at + 1, NONCE);
    wire_writer_init(&k, kind, sizeof(kind));
    wire_write_u32(&k, key->object_class);
    wire_write_u64(&k, key->type);
    ctx = start(by, at + 1, aad, 1);
    if (ctx && EVP_CipherUpdate(ctx, cipher, &length, kind, KIND) == 1 &&
        EVP_CipherUpdate(ctx, cipher + KIND, &length, key->components, (int)key->length) == 1 &&
        EVP_CipherFinal_ex(ctx, cipher + inner, &length) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, cipher + inner) == 1) {
        w->at += HEAD + inner + TAG;
        status = STATUS_ok;
    }
    EVP_CIPHER_CTX_free(ctx);
    return status;
}

/* Plaintext to key. The bytes were sealed by this program: a fault here means another sealing key's owner made them. */
static int read_inner(const uint8_t *bytes, size_t length, struct kp_key **out)
{
    struct wire_template t;
    struct wire_reader r;
    uint32_t object_class;
    uint64_t type;

    wire_reader_init(&r, bytes, length);
    object_class = wire_read_u32(&r);
    type = wire_read_u64(&r);
    wire_read_template(&r, &t);
    if (!wire_reader_done(&r))
        return STATUS_seal_broken;
    return kp_key_import(object_class, type, &t, out);
}

int kp_unseal(const struct kp_key *by, struct wire_bytes aad, struct wire_bytes blob, struct kp_key **out)
{
    size_t inner = blob.length - HEAD - TAG;
    EVP_CIPHER_CTX *ctx = NULL;
    uint8_t *plain = NULL;
    int length, status = STATUS_seal_broken;

    if (!can_seal(by))
        return STATUS_key_type_inconsistent;
    if (blob.length < OVERHEAD || blob.length > WIRE_BLOB_MAX || blob.data[0] != SEAL_VERSION)
        return STATUS_seal_broken;
    plain = kp_alloc(inner);
    ctx = start(by, blob.data + 1, aad, 0);
    if (!plain || !ctx) {
        status = STATUS_memory;
        goto out;
    }
    if (EVP_CipherUpdate(ctx, plain, &length, blob.data + HEAD, (int)inner) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(uintptr_t)(blob.data + HEAD + inner)) == 1 &&
        EVP_CipherFinal_ex(ctx, plain + inner, &length) == 1)
        status = read_inner(plain, inner, out);
    if (status != STATUS_ok && status != STATUS_memory && status != STATUS_parameter_set_not_supported)
        status = STATUS_seal_broken;
out:
    EVP_CIPHER_CTX_free(ctx);
    kp_free(plain);
    return status;
}
