/*
 * SHA-1 and SHA-2 as digests (PKCS#11 3.1, 6.20 to 6.24), whose state can be taken out and put in again (C_GetOperationState):
 * OpenSSL's EVP cannot do that, its older functions can. A state says what was digested to whoever has it, as the data do; no
 * key is among them (module/crypt.h).
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <string.h>

#include "cryptoki.h"
#include "digest_state.h"
#include "engine.h"
#include "mechanism.h"

static int sha1_init(union kp_sha *c) { return SHA1_Init(&c->sha1); }
static int sha224_init(union kp_sha *c) { return SHA224_Init(&c->sha256); }
static int sha256_init(union kp_sha *c) { return SHA256_Init(&c->sha256); }
static int sha384_init(union kp_sha *c) { return SHA384_Init(&c->sha512); }
static int sha512_init(union kp_sha *c) { return SHA512_Init(&c->sha512); }

static int sha1_update(union kp_sha *c, struct wire_bytes in) { return SHA1_Update(&c->sha1, in.data, in.length); }
static int sha256_update(union kp_sha *c, struct wire_bytes in) { return SHA256_Update(&c->sha256, in.data, in.length); }
static int sha512_update(union kp_sha *c, struct wire_bytes in) { return SHA512_Update(&c->sha512, in.data, in.length); }

static int sha1_final(union kp_sha *c, uint8_t *out) { return SHA1_Final(out, &c->sha1); }
static int sha256_final(union kp_sha *c, uint8_t *out) { return SHA256_Final(out, &c->sha256); }
static int sha512_final(union kp_sha *c, uint8_t *out) { return SHA512_Final(out, &c->sha512); }

static uint64_t sha1_get(const union kp_sha *c, struct wire_digest_state *to)
{
    const uint64_t words[] = {c->sha1.h0, c->sha1.h1, c->sha1.h2, c->sha1.h3, c->sha1.h4};

    memcpy(to->words, words, sizeof(words));
    memcpy(to->rest, c->sha1.data, c->sha1.num);
    return ((uint64_t)c->sha1.Nh << 32 | c->sha1.Nl) / 8;
}

static uint64_t sha256_get(const union kp_sha *c, struct wire_digest_state *to)
{
    for (int i = 0; i < 8; i++)
        to->words[i] = c->sha256.h[i];
    memcpy(to->rest, c->sha256.data, c->sha256.num);
    return ((uint64_t)c->sha256.Nh << 32 | c->sha256.Nl) / 8;
}

static uint64_t sha512_get(const union kp_sha *c, struct wire_digest_state *to)
{
    for (int i = 0; i < 8; i++)
        to->words[i] = c->sha512.h[i];
    memcpy(to->rest, c->sha512.u.p, c->sha512.num);
    return c->sha512.Nh << 61 | c->sha512.Nl / 8;
}

static void sha1_put(union kp_sha *c, const struct wire_digest_state *from)
{
    c->sha1.h0 = (SHA_LONG)from->words[0];
    c->sha1.h1 = (SHA_LONG)from->words[1];
    c->sha1.h2 = (SHA_LONG)from->words[2];
    c->sha1.h3 = (SHA_LONG)from->words[3];
    c->sha1.h4 = (SHA_LONG)from->words[4];
    c->sha1.Nl = (SHA_LONG)(from->count << 3);
    c->sha1.Nh = (SHA_LONG)(from->count >> 29);
    c->sha1.num = (unsigned)from->rest_length;
    memcpy(c->sha1.data, from->rest, from->rest_length);
}

static void sha256_put(union kp_sha *c, const struct wire_digest_state *from)
{
    for (int i = 0; i < 8; i++)
        c->sha256.h[i] = (SHA_LONG)from->words[i];
    c->sha256.Nl = (SHA_LONG)(from->count << 3);
    c->sha256.Nh = (SHA_LONG)(from->count >> 29);
    c->sha256.num = (unsigned)from->rest_length;
    memcpy(c->sha256.data, from->rest, from->rest_length);
}

static void sha512_put(union kp_sha *c, const struct wire_digest_state *from)
{
    for (int i = 0; i < 8; i++)
        c->sha512.h[i] = from->words[i];
    c->sha512.Nl = from->count << 3;
    c->sha512.Nh = from->count >> 61;
    c->sha512.num = (unsigned)from->rest_length;
    memcpy(c->sha512.u.p, from->rest, from->rest_length);
}

static const struct sha {
    uint64_t mechanism;
    uint32_t size;
    int (*init)(union kp_sha *c);
    int (*update)(union kp_sha *c, struct wire_bytes in);
    int (*final)(union kp_sha *c, uint8_t *out);
    uint64_t (*get)(const union kp_sha *c, struct wire_digest_state *to);
    void (*put)(union kp_sha *c, const struct wire_digest_state *from);
} shas[] = {
    {CKM_SHA_1, 20, sha1_init, sha1_update, sha1_final, sha1_get, sha1_put},
    {CKM_SHA224, 28, sha224_init, sha256_update, sha256_final, sha256_get, sha256_put},
    {CKM_SHA256, 32, sha256_init, sha256_update, sha256_final, sha256_get, sha256_put},
    {CKM_SHA384, 48, sha384_init, sha512_update, sha512_final, sha512_get, sha512_put},
    {CKM_SHA512, 64, sha512_init, sha512_update, sha512_final, sha512_get, sha512_put},
};

static const struct sha *sha_of(const struct kp_op *op)
{
    for (size_t i = 0; i < sizeof(shas) / sizeof(shas[0]); i++)
        if (shas[i].mechanism == op->mechanism->type)
            return &shas[i];
    return NULL;
}

static int sha_begin(struct kp_op *op, const struct wire_params *p)
{
    const struct sha *sha = sha_of(op);
    struct wire_digest_state state;

    if (!sha || sha->init(&op->sha) != 1)
        return STATUS_internal;
    if (p->iv.length == 0)
        return STATUS_ok;
    if (!wire_digest_state_read(p->iv, &state) || state.mechanism != sha->mechanism)
        return STATUS_mechanism_param_invalid;
    sha->put(&op->sha, &state);
    return STATUS_ok;
}

static int sha_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return sha_of(op)->update(&op->sha, in) == 1 ? STATUS_ok : STATUS_internal;
}

static int sha_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    const struct sha *sha = sha_of(op);
    uint8_t *at = kp_out_room(out, sha->size);

    (void)signature;
    if (!at || (in.length && sha->update(&op->sha, in) != 1) || sha->final(&op->sha, at) != 1)
        return STATUS_internal;
    out->at += sha->size;
    return STATUS_ok;
}

static void sha_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = sha_of(op)->size;
}

int kp_op_save(const struct kp_op *op, struct wire_writer *out)
{
    struct wire_digest_state state = {.mechanism = op->mechanism->type};

    if (op->engine != &kp_engine_sha)
        return STATUS_function_not_supported;
    state.count = sha_of(op)->get(&op->sha, &state);
    wire_digest_state_write(out, &state);
    wire_wipe(&state, sizeof(state));
    return out->full ? STATUS_internal : STATUS_ok;
}

const struct kp_engine kp_engine_sha = {sha_begin, sha_update, sha_finish, sha_describe, false};
