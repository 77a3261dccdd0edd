/* Contexts that are kept with their key give what fresh ones give, whatever was done with them before. */
#include "cryptoki.h"
#include "engine/engine.h"
#include "keeper_tap.h"

enum { ROUNDS = 4 };

static const uint8_t data[100] = {1, 2, 3};
static struct wire_params none;

static struct wire_bytes params_of(enum wire_layout layout, const struct wire_params *p)
{
    static uint8_t out[512];
    struct wire_writer w;

    wire_writer_init(&w, out, sizeof(out));
    wire_params_write(layout, p, &w);
    return (struct wire_bytes){out, wire_written(&w)};
}

static struct kp_key *secret(uint64_t type)
{
    uint8_t bytes[32] = {7};
    struct kp_key *key = NULL;

    kp_key_secret(type, bytes, sizeof(bytes), &key);
    return key;
}

/* What one operation gives, with its status in front. */
static size_t run(uint64_t mechanism, enum wire_operation operation, struct kp_key *key, struct wire_bytes params,
                  struct wire_bytes in, uint8_t *out)
{
    struct wire_writer w;
    int status;

    wire_writer_init(&w, out + 1, 1023);
    status = kp_op_once(mechanism, operation, key, params, in, &w);
    out[0] = (uint8_t)status;
    return 1 + (status == STATUS_ok ? wire_written(&w) : 0);
}

static bool same_as_fresh(uint64_t mechanism, enum wire_layout layout, enum wire_operation operation, struct kp_key *kept,
                          uint64_t type, const struct wire_params *p, size_t length)
{
    struct kp_key *fresh = type == CKK_NONE ? NULL : secret(type);
    uint8_t a[1024], b[1024];
    struct wire_bytes params = params_of(layout, p), in = {data, length};
    size_t n = run(mechanism, operation, kept, params, in, a), m = run(mechanism, operation, fresh, params, in, b);

    kp_key_drop(fresh);
    return n == m && memcmp(a, b, n) == 0;
}

static const struct {
    uint64_t mechanism, type;
    enum wire_layout layout;
    enum wire_operation operation;
    size_t iv;
    const char *name;
} rows[] = {
    {CKM_AES_ECB, CKK_AES, LAYOUT_none, WIRE_ENCRYPT, 0, "AES-ECB"},
    {CKM_AES_ECB, CKK_AES, LAYOUT_none, WIRE_DECRYPT, 0, "AES-ECB deciphering"},
    {CKM_AES_CBC, CKK_AES, LAYOUT_iv16, WIRE_ENCRYPT, 16, "AES-CBC"},
    {CKM_AES_CBC_PAD, CKK_AES, LAYOUT_iv16, WIRE_ENCRYPT, 16, "AES-CBC with padding"},
    {CKM_AES_CBC_PAD, CKK_AES, LAYOUT_iv16, WIRE_DECRYPT, 16, "AES-CBC whose padding is bad"},
    {CKM_AES_CTR, CKK_AES, LAYOUT_ctr, WIRE_ENCRYPT, 16, "AES-CTR"},
    {CKM_AES_OFB, CKK_AES, LAYOUT_iv16, WIRE_ENCRYPT, 16, "AES-OFB"},
    {CKM_AES_CFB128, CKK_AES, LAYOUT_iv16, WIRE_DECRYPT, 16, "AES-CFB128 deciphering"},
    {CKM_AES_CFB8, CKK_AES, LAYOUT_iv16, WIRE_ENCRYPT, 16, "AES-CFB8"},
    {CKM_AES_GCM, CKK_AES, LAYOUT_gcm, WIRE_ENCRYPT, 12, "AES-GCM"},
    {CKM_AES_GCM, CKK_AES, LAYOUT_gcm, WIRE_DECRYPT, 12, "AES-GCM whose tag is bad"},
    {CKM_AES_GCM, CKK_AES, LAYOUT_gcm, WIRE_ENCRYPT, 16, "AES-GCM with a longer initial value"},
    {CKM_AES_CMAC, CKK_AES, LAYOUT_none, WIRE_SIGN, 0, "CMAC"},
    {CKM_SHA256_HMAC, CKK_GENERIC_SECRET, LAYOUT_none, WIRE_SIGN, 0, "HMAC"},
    {CKM_SHA512_HMAC, CKK_GENERIC_SECRET, LAYOUT_none, WIRE_SIGN, 0, "HMAC by another hash"},
    {CKM_SHA256, CKK_NONE, LAYOUT_none, WIRE_DIGEST, 0, "a digest"},
};

static void secrets(void)
{
    struct kp_key *aes = secret(CKK_AES), *generic = secret(CKK_GENERIC_SECRET);
    uint8_t iv[16] = {9};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct kp_key *kept = rows[i].type == CKK_AES ? aes : rows[i].type == CKK_NONE ? NULL : generic;
        bool good = true;

        for (int round = 0; round < ROUNDS; round++) {
            struct wire_params p = {.iv = {iv, rows[i].iv}, .bits = 128};

            iv[15 - round] ^= (uint8_t)(round + 1);
            iv[round] ^= (uint8_t)(round + 1);
            p.aad = (struct wire_bytes){data, round % 2 && rows[i].layout == LAYOUT_gcm ? 20 : 0};
            good &= same_as_fresh(rows[i].mechanism, rows[i].layout, rows[i].operation, kept, rows[i].type, &p,
                                  (size_t)(64 + (round % 2 ? 0 : 16)));
        }
        ok(good, rows[i].name);
    }
    kp_key_drop(aes);
    kp_key_drop(generic);
}

static void left_in_the_middle(void)
{
    struct kp_key *aes = secret(CKK_AES);
    uint8_t iv[16] = {0}, out[256];
    struct wire_params p = {.iv = {iv, 16}};
    struct kp_op op, other;
    struct wire_writer w;

    wire_writer_init(&w, out, sizeof(out));
    kp_op_begin(&op, CKM_AES_CBC, WIRE_ENCRYPT, aes, params_of(LAYOUT_iv16, &p));
    kp_op_update(&op, (struct wire_bytes){data, 20}, &w);
    kp_op_begin(&other, CKM_AES_CBC, WIRE_ENCRYPT, aes, params_of(LAYOUT_iv16, &p));
    ok(op.cipher != other.cipher, "two operations with one key have a context each");
    kp_op_end(&op);
    kp_op_end(&other);
    ok(same_as_fresh(CKM_AES_CBC, LAYOUT_iv16, WIRE_ENCRYPT, aes, CKK_AES, &p, 32),
       "an operation that was left in the middle leaves nothing behind");
    kp_key_drop(aes);
}

/* A signature by a context that was used before is good, and so is the verdict on it. */
static void signatures(const char *name, uint64_t mechanism, struct kp_key *key, const struct wire_params *p, size_t length)
{
    struct wire_bytes params = p ? params_of(LAYOUT_pss, p) : params_of(LAYOUT_none, &none);
    bool good = true;

    for (int round = 0; round < ROUNDS; round++) {
        struct wire_bytes in = {data + round, length};
        uint8_t signature[1024], nothing[64];
        size_t n = run(mechanism, WIRE_SIGN, key, params, in, signature) - 1;
        struct wire_writer w;
        struct kp_op op;

        for (int bad = 0; bad < 2; bad++) {
            signature[5] ^= (uint8_t)bad;
            wire_writer_init(&w, nothing, sizeof(nothing));
            good &= kp_op_begin(&op, mechanism, WIRE_VERIFY, key, params) == STATUS_ok &&
                    kp_op_finish(&op, in, (struct wire_bytes){signature + 1, n}, &w) ==
                        (bad ? STATUS_signature_invalid : STATUS_ok);
            kp_op_end(&op);
        }
    }
    ok(good, name);
}

static struct kp_key *generated(uint64_t mechanism, uint64_t type, uint64_t attribute, struct wire_bytes value)
{
    struct wire_template t = {.count = 1};
    struct kp_key *key = NULL;

    t.at[0] = (struct wire_attribute){attribute, value};
    kp_key_generate(mechanism, (struct wire_bytes){NULL, 0}, type, &t, &key);
    return key;
}

static void asymmetric(void)
{
    struct wire_params sha256 = {.hash = CKM_SHA256, .mgf = CKG_MGF1_SHA256, .salt_length = 32};
    struct wire_params sha1 = {.hash = CKM_SHA_1, .mgf = CKG_MGF1_SHA1, .salt_length = 20};
    struct kp_key *ec = generated(CKM_EC_KEY_PAIR_GEN, CKK_EC, CKA_EC_PARAMS, hex("06082a8648ce3d030107"));
    struct kp_key *rsa = generated(CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA, CKA_MODULUS_BITS, hex("0008000000000000"));

    signatures("ECDSA", CKM_ECDSA, ec, NULL, 32);
    signatures("ECDSA with a hash", CKM_ECDSA_SHA256, ec, NULL, 50);
    signatures("RSA PKCS #1", CKM_RSA_PKCS, rsa, NULL, 32);
    signatures("PSS", CKM_RSA_PKCS_PSS, rsa, &sha256, 32);
    signatures("PSS with other parameters", CKM_RSA_PKCS_PSS, rsa, &sha1, 20);
    signatures("PSS as before", CKM_RSA_PKCS_PSS, rsa, &sha256, 32);
    kp_key_drop(ec);
    kp_key_drop(rsa);
}

/* Many keys, each used: what is kept has a bound, and goes with the keys. */
static void bounded(void)
{
    enum { KEYS = 1500 };
    static struct kp_key *keys[KEYS];
    uint8_t iv[12] = {1}, out[256];
    struct wire_params p = {.iv = {iv, 12}, .bits = 128};
    size_t before = kp_arena_used(), with;
    bool good = true;

    for (int i = 0; i < KEYS; i++) {
        keys[i] = secret(CKK_AES);
        run(CKM_AES_GCM, WIRE_ENCRYPT, keys[i], params_of(LAYOUT_gcm, &p), (struct wire_bytes){data, 16}, out);
        good &= out[0] == STATUS_ok;
    }
    with = kp_arena_used();
    for (int i = 0; i < KEYS; i++)
        kp_key_drop(keys[i]);
    printf("# %zu KiB for %d keys and what is kept with them\n", (with - before) / 1024, KEYS);
    ok(good && with - before < 2048 * 1024, "what is kept has a bound");
    ok(kp_arena_used() == before && kp_arena_check(), "and goes with its key");
}

int main(void)
{
    if (!ok(open_crypto(), "the arena and OpenSSL open"))
        return done();
    secrets();
    left_in_the_middle();
    asymmetric();
    bounded();
    return done();
}
