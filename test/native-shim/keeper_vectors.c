/* Published vectors through the engines: NIST, RFC 3394, 4231, 4493, 5649, 7748, 8032. */
#include "cryptoki.h"
#include "engine/engine.h"
#include "keeper_tap.h"

static struct wire_bytes params_of(enum wire_layout layout, const struct wire_params *p)
{
    static uint8_t out[512];
    struct wire_writer w;

    wire_writer_init(&w, out, sizeof(out));
    wire_params_write(layout, p, &w);
    return (struct wire_bytes){out, wire_written(&w)};
}

static struct kp_key *secret(uint64_t type, const char *digits)
{
    struct wire_bytes b = hex(digits);
    struct kp_key *key = NULL;

    kp_key_secret(type, b.data, b.length, &key);
    return key;
}

/* One operation by key; the output must be what was published. Drops the key. */
static void gives(const char *sentence, uint64_t mechanism, enum wire_operation operation, struct kp_key *key,
                  struct wire_bytes params, const char *in, const char *expected)
{
    uint8_t out[1024];
    struct wire_writer w;

    wire_writer_init(&w, out, sizeof(out));
    ok(kp_op_once(mechanism, operation, key, params, hex(in), &w) == STATUS_ok &&
           same(hex(expected), out, wire_written(&w)),
       sentence);
    kp_key_drop(key);
}

static void gcm(void)
{
    struct wire_params p = {.iv = hex("cafebabefacedbaddecaf888"), .aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"), .bits = 128};

    gives("AES-128-GCM, test case 4 of its specification", CKM_AES_GCM, WIRE_ENCRYPT,
          secret(CKK_AES, "feffe9928665731c6d6a8f9467308308"), params_of(LAYOUT_gcm, &p),
          "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
          "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
          "5bc94fbc3221a5db94fae95ae7121a47");
}

static void ed25519(void)
{
    struct wire_template t = {.count = 2};
    struct wire_bytes none = {NULL, 0};
    struct kp_key *key = NULL;
    struct kp_op op;
    uint8_t absent[6] = {0};
    struct wire_bytes params = {absent, 6};
    uint8_t out[128];
    struct wire_writer w;

    t.at[0] = (struct wire_attribute){CKA_EC_PARAMS, hex("06032b6570")};
    t.at[1] = (struct wire_attribute){CKA_VALUE, hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")};
    ok(kp_key_import(CKO_PRIVATE_KEY, CKK_EC_EDWARDS, &t, &key) == STATUS_ok, "an Ed25519 key is imported");
    gives("RFC 8032, 7.1, test 2: signature", CKM_EDDSA, WIRE_SIGN, kp_key_ref(key), params, "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    wire_writer_init(&w, out, sizeof(out));
    kp_op_begin(&op, CKM_EDDSA, WIRE_VERIFY, key, params);
    ok(kp_op_finish(&op, hex("73"), (struct wire_bytes){out, 64}, &w) == STATUS_signature_invalid, "another message is refused");
    kp_op_end(&op);
    kp_op_begin(&op, CKM_EDDSA, WIRE_VERIFY, key, params);
    ok(kp_op_finish(&op, hex("72"), none, &w) == STATUS_signature_len_range, "a signature has 64 bytes");
    kp_op_end(&op);
    kp_key_drop(key);
}

static void x25519(void)
{
    struct wire_template t = {.count = 2};
    struct wire_params p = {.hash = CKD_NULL};
    struct kp_key *key = NULL;
    uint8_t out[WIRE_COMPONENT_MAX];
    struct wire_writer w;

    t.at[0] = (struct wire_attribute){CKA_EC_PARAMS, hex("06032b656e")};
    t.at[1] = (struct wire_attribute){CKA_VALUE, hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")};
    p.point = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    ok(kp_key_import(CKO_PRIVATE_KEY, CKK_EC_MONTGOMERY, &t, &key) == STATUS_ok, "an X25519 key is imported");
    wire_writer_init(&w, out, sizeof(out));
    ok(kp_derive(CKM_ECDH1_DERIVE, key, NULL, params_of(LAYOUT_ecdh1, &p), 0, &w) == STATUS_ok &&
           same(hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"), out, wire_written(&w)),
       "RFC 7748, 5.2: X25519");
    wire_writer_init(&w, out, sizeof(out));
    ok(kp_derive(CKM_ECDH1_DERIVE, key, NULL, params_of(LAYOUT_ecdh1, &p), 8, &w) == STATUS_ok && same(hex("54b4075577a28552"), out, 8),
       "a shorter secret keeps the trailing bytes");
    kp_key_drop(key);
}

static int verifies(struct kp_key *key, struct wire_bytes signature)
{
    uint8_t unused[1];
    struct wire_writer w;
    struct kp_op op;
    int status = kp_op_begin(&op, CKM_ECDSA_SHA256, WIRE_VERIFY, key, (struct wire_bytes){NULL, 0});

    wire_writer_init(&w, unused, sizeof(unused));
    if (status != STATUS_ok)
        return status;
    status = kp_op_finish(&op, hex("616263"), signature, &w);
    kp_op_end(&op);
    return status;
}

/* SunPKCS11 writes r and s as short as the longer of them allows. With P-521, whose order's first octet is 0 or 1, every
 * fourth signature can lose one octet of each half. */
static void short_ecdsa(void)
{
    enum { HALF = 66 };
    struct wire_template t = {.count = 1};
    uint8_t out[2 * HALF + 8], brief[2 * HALF] = {0};
    struct kp_key *key = NULL;
    struct wire_writer w;
    int tries = 0;

    t.at[0] = (struct wire_attribute){CKA_EC_PARAMS, hex("06052b81040023")};
    ok(kp_key_generate(CKM_EC_KEY_PAIR_GEN, (struct wire_bytes){NULL, 0}, CKK_EC, &t, &key) == STATUS_ok, "a P-521 key is made");
    do {
        wire_writer_init(&w, out, sizeof(out));
        kp_op_once(CKM_ECDSA_SHA256, WIRE_SIGN, key, (struct wire_bytes){NULL, 0}, hex("616263"), &w);
    } while ((out[0] || out[HALF]) && ++tries < 1000);
    for (int i = 0; i < HALF - 1; i++) {
        brief[i] = out[i + 1];
        brief[HALF - 1 + i] = out[HALF + 1 + i];
    }
    ok(verifies(key, (struct wire_bytes){out, 2 * HALF}) == STATUS_ok, "a signature of full length verifies");
    ok(verifies(key, (struct wire_bytes){brief, 2 * HALF - 2}) == STATUS_ok, "and without the zero before either half");
    ok(verifies(key, (struct wire_bytes){out, 2 * HALF - 1}) == STATUS_signature_len_range, "an odd length does not");
    ok(verifies(key, (struct wire_bytes){brief, 2 * HALF - 6}) == STATUS_signature_len_range, "nor a much shorter one");
    ok(verifies(key, (struct wire_bytes){out, 2 * HALF + 2}) == STATUS_signature_len_range, "nor a longer one");
    ok(verifies(key, (struct wire_bytes){out, 0}) == STATUS_signature_len_range, "nor none");
    kp_key_drop(key);
}

int main(void)
{
    struct wire_bytes none = {NULL, 0};
    const char *k20 = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";
    const char *kw = "000102030405060708090A0B0C0D0E0F1011121314151617";

    if (!ok(open_crypto(), "the keeper's memory and OpenSSL start"))
        return done();
    gcm();
    gives("RFC 4231, test 1: HMAC-SHA-256", CKM_SHA256_HMAC, WIRE_SIGN, secret(CKK_GENERIC_SECRET, k20), none, "4869205468657265",
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    gives("RFC 4231, test 2, a key of 4 bytes", CKM_SHA256_HMAC, WIRE_SIGN, secret(CKK_GENERIC_SECRET, "4a656665"), none,
          "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    gives("RFC 4493, example 1: CMAC of nothing", CKM_AES_CMAC, WIRE_SIGN, secret(CKK_AES, "2b7e151628aed2a6abf7158809cf4f3c"), none,
          "", "bb1d6929e95937287fa37d129b756746");
    gives("RFC 4493, example 2: CMAC of a block", CKM_AES_CMAC, WIRE_SIGN, secret(CKK_AES, "2b7e151628aed2a6abf7158809cf4f3c"), none,
          "6bc1bee22e409f96e93d7e117393172a", "070a16b46b4d4144f79bdd9dd04a287c");
    gives("RFC 3394, 4.1: key wrap", CKM_AES_KEY_WRAP, WIRE_ENCRYPT, secret(CKK_AES, "000102030405060708090A0B0C0D0E0F"), none,
          "00112233445566778899AABBCCDDEEFF", "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5");
    gives("RFC 3394, 4.2: key unwrap", CKM_AES_KEY_WRAP, WIRE_DECRYPT, secret(CKK_AES, kw), none,
          "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D", "00112233445566778899AABBCCDDEEFF");
    gives("RFC 5649, 6: key wrap with padding", CKM_AES_KEY_WRAP_PAD, WIRE_ENCRYPT,
          secret(CKK_AES, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"), none, "c37b7e6492584340bed12207808941155068f738",
          "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a");
    gives("SP 800-38A, F.2.1: CBC", CKM_AES_CBC, WIRE_ENCRYPT, secret(CKK_AES, "2b7e151628aed2a6abf7158809cf4f3c"),
          hex("000102030405060708090a0b0c0d0e0f"), "6bc1bee22e409f96e93d7e117393172a", "7649abac8119b246cee98e9b12e9197d");
    gives("FIPS 180: SHA-256 of abc", CKM_SHA256, WIRE_DIGEST, NULL, none, "616263",
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ed25519();
    x25519();
    short_ecdsa();
    return done();
}
