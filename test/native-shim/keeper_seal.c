/* Sealed blobs: what went in comes out, and nothing that was changed does. */
#include "cryptoki.h"
#include "keeper_tap.h"
#include "seal.h"

static struct wire_bytes aad(const char *text) { return (struct wire_bytes){(const uint8_t *)text, strlen(text)}; }

static struct kp_key *generate(uint64_t mechanism, uint64_t type, uint64_t attribute, const void *value, size_t length)
{
    struct wire_template t = {.count = 1};
    struct kp_key *key = NULL;

    t.at[0] = (struct wire_attribute){attribute, {value, length}};
    return kp_key_generate(mechanism, (struct wire_bytes){NULL, 0}, type, &t, &key) == STATUS_ok ? key : NULL;
}

static bool equal(const struct kp_key *a, const struct kp_key *b)
{
    return a->object_class == b->object_class && a->type == b->type && a->length == b->length &&
           memcmp(a->components, b->components, a->length) == 0;
}

static bool opens(const struct kp_key *by, const char *with, const uint8_t *blob, size_t length, struct kp_key **out)
{
    int status = kp_unseal(by, aad(with), (struct wire_bytes){blob, length}, out);

    return status == STATUS_ok;
}

static void round_trip(const struct kp_key *by, struct kp_key *key, const char *sentence)
{
    uint8_t blob[WIRE_BLOB_MAX];
    struct wire_writer w;
    struct kp_key *back = NULL;

    wire_writer_init(&w, blob, sizeof(blob));
    ok(key && kp_seal(by, key, aad("data"), &w) == STATUS_ok && opens(by, "data", blob, wire_written(&w), &back) &&
           equal(key, back),
       sentence);
    kp_key_drop(back);
    kp_key_drop(key);
}

static bool every_flip_is_noticed(const struct kp_key *by, const uint8_t *blob, size_t length)
{
    uint8_t copy[WIRE_BLOB_MAX];
    struct kp_key *out = NULL;

    for (size_t i = 0; i < length * 8; i++) {
        memcpy(copy, blob, length);
        copy[i / 8] = (uint8_t)(copy[i / 8] ^ 1 << i % 8);
        if (kp_unseal(by, aad("data"), (struct wire_bytes){copy, length}, &out) != STATUS_seal_broken)
            return false;
    }
    return true;
}

static bool every_cut_is_noticed(const struct kp_key *by, const uint8_t *blob, size_t length)
{
    struct kp_key *out = NULL;

    for (size_t i = 0; i < length; i++)
        if (kp_unseal(by, aad("data"), (struct wire_bytes){blob, i}, &out) != STATUS_seal_broken)
            return false;
    return true;
}

int main(void)
{
    static const uint8_t length32[8] = {32}, length16[8] = {16}, bits[8] = {0, 8};
    struct wire_bytes p256 = hex("06082a8648ce3d030107"), ed = hex("06032b6570");
    struct kp_key *by, *other, *key, *small, *out = NULL;
    uint8_t blob[WIRE_BLOB_MAX], again[WIRE_BLOB_MAX];
    struct wire_writer w, v;

    if (!ok(open_crypto(), "the keeper's memory and OpenSSL start"))
        return done();
    by = generate(CKM_AES_KEY_GEN, CKK_AES, CKA_VALUE_LEN, length32, 8);
    other = generate(CKM_AES_KEY_GEN, CKK_AES, CKA_VALUE_LEN, length32, 8);
    small = generate(CKM_AES_KEY_GEN, CKK_AES, CKA_VALUE_LEN, length16, 8);
    key = generate(CKM_AES_KEY_GEN, CKK_AES, CKA_VALUE_LEN, length32, 8);
    wire_writer_init(&w, blob, sizeof(blob));
    wire_writer_init(&v, again, sizeof(again));
    ok(kp_seal(by, key, aad("data"), &w) == STATUS_ok, "a key is sealed");
    ok(kp_seal(by, key, aad("data"), &v) == STATUS_ok && memcmp(blob + 1, again + 1, 12) != 0, "each time under a new nonce");
    ok(opens(by, "data", blob, wire_written(&w), &out) && equal(key, out), "and opens again");
    ok(!opens(by, "date", blob, wire_written(&w), &out), "not with other associated data");
    ok(!opens(other, "data", blob, wire_written(&w), &out), "not under another key");
    ok(every_flip_is_noticed(by, blob, wire_written(&w)), "not with any one bit changed");
    ok(every_cut_is_noticed(by, blob, wire_written(&w)), "not cut short anywhere");
    ok(kp_seal(small, key, aad(""), &v) == STATUS_key_type_inconsistent, "only AES-256 seals");
    round_trip(by, generate(CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA, CKA_MODULUS_BITS, bits, 8), "an RSA key survives it");
    round_trip(by, generate(CKM_EC_KEY_PAIR_GEN, CKK_EC, CKA_EC_PARAMS, p256.data, p256.length), "so does an EC key");
    round_trip(by, generate(CKM_EC_EDWARDS_KEY_PAIR_GEN, CKK_EC_EDWARDS, CKA_EC_PARAMS, ed.data, ed.length),
               "and an Edwards key");
    return done();
}
