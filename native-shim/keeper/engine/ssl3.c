/* What SSL 3.0 does with MD5 and SHA-1 (RFC 6101): the secrets of 6.1 and 6.2.2, and the MAC of 5.2.3.1 (PKCS#11 2.40, 2.34). */
#include <openssl/evp.h>
#include <string.h>

#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { MD5_BYTES = 16, SHA1_BYTES = 20, LETTERS = 26, PIECES = 3, MAC_LEAST = 4, PAD_MAX = 48 };

static bool absorb(EVP_MD_CTX *ctx, struct wire_bytes bytes)
{
    return EVP_DigestUpdate(ctx, bytes.data, bytes.length) == 1;
}

/* MD5(secret, SHA-1(letters, secret, seed)), whose letters are A, BB, CCC ... */
static bool block(EVP_MD_CTX *ctx, size_t i, struct wire_bytes secret, const struct wire_bytes seed[3], uint8_t out[MD5_BYTES])
{
    uint8_t letters[LETTERS], inner[SHA1_BYTES];
    bool ok;

    memset(letters, 'A' + (int)i, i + 1);
    ok = EVP_DigestInit_ex2(ctx, kp_md("SHA1"), NULL) == 1 && absorb(ctx, (struct wire_bytes){letters, i + 1}) &&
         absorb(ctx, secret);
    for (int piece = 0; ok && piece < PIECES; piece++)
        ok = absorb(ctx, seed[piece]);
    ok = ok && EVP_DigestFinal_ex(ctx, inner, NULL) == 1 && EVP_DigestInit_ex2(ctx, kp_md("MD5"), NULL) == 1 &&
         absorb(ctx, secret) && EVP_DigestUpdate(ctx, inner, sizeof(inner)) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    wire_wipe(inner, sizeof(inner));
    return ok;
}

int kp_ssl3_prf(struct wire_bytes secret, const struct wire_bytes seed[3], uint8_t *out, size_t length)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t made[MD5_BYTES];
    bool ok = ctx && length <= LETTERS * MD5_BYTES;

    for (size_t i = 0, at = 0; ok && at < length; i++, at += MD5_BYTES) {
        ok = block(ctx, i, secret, seed, made);
        if (ok)
            memcpy(out + at, made, length - at < MD5_BYTES ? length - at : MD5_BYTES);
    }
    wire_wipe(made, sizeof(made));
    EVP_MD_CTX_free(ctx);
    return ok ? STATUS_ok : STATUS_mechanism_param_invalid;
}

static uint32_t size_of(const struct kp_op *op)
{
    return (uint32_t)EVP_MD_get_size(kp_md(op->mechanism->algorithm));
}

/* hash(secret, pad ...): 48 bytes of pad for MD5, 40 for SHA-1. */
static bool open_pad(struct kp_op *op, int pad)
{
    uint8_t pads[PAD_MAX];

    memset(pads, pad, sizeof(pads));
    return EVP_DigestInit_ex2(op->md, kp_md(op->mechanism->algorithm), NULL) == 1 &&
           absorb(op->md, (struct wire_bytes){op->key->secret.data, op->key->secret.length}) &&
           absorb(op->md, (struct wire_bytes){pads, size_of(op) == MD5_BYTES ? 48 : 40});
}

/* PKCS#11 says 4 to 8 bytes; records have the whole code, and SunPKCS11 asks for it. */
static int ssl3_mac_begin(struct kp_op *op, const struct wire_params *p)
{
    op->tag = p->bits;
    if (op->tag < MAC_LEAST || op->tag > size_of(op))
        return STATUS_mechanism_param_invalid;
    op->md = EVP_MD_CTX_new();
    return op->md && open_pad(op, 0x36) ? STATUS_ok : STATUS_memory;
}

static int ssl3_mac_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return absorb(op->md, in) ? STATUS_ok : STATUS_internal;
}

static int ssl3_mac_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    uint8_t code[SHA1_BYTES];
    int status = STATUS_internal;

    if (absorb(op->md, in) && EVP_DigestFinal_ex(op->md, code, NULL) == 1 && open_pad(op, 0x5c) &&
        EVP_DigestUpdate(op->md, code, size_of(op)) == 1 && EVP_DigestFinal_ex(op->md, code, NULL) == 1)
        status = STATUS_ok;
    if (status == STATUS_ok)
        status = kp_mac_end(op, code, op->tag, signature, out);
    wire_wipe(code, sizeof(code));
    return status;
}

const struct kp_engine kp_engine_ssl3_mac = {ssl3_mac_begin, ssl3_mac_update, ssl3_mac_finish, kp_tag_describe, false};
