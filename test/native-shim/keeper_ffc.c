/* Keys of prime fields: what hostile numbers cost, in time and in memory; and what keys say when memory is short. */
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "clock.h"
#include "cryptoki.h"
#include "engine/engine.h"
#include "keeper_tap.h"

enum { PRIME_MAX = 1024, AFFORDABLE_MS = 20000 /* three seconds on a machine that does nothing else */ };

static uint8_t prime[PRIME_MAX], two = 2;
static size_t prime_length;

static const struct wire_bytes none = {NULL, 0};

static bool domain(uint64_t bits)
{
    static uint8_t out[4096];
    struct wire_template wanted = {.count = 1}, made;
    uint8_t number[8] = {(uint8_t)bits, (uint8_t)(bits >> 8)};
    struct wire_reader r;
    struct wire_writer w;

    wanted.at[0] = (struct wire_attribute){CKA_PRIME_BITS, {number, 8}};
    wire_writer_init(&w, out, sizeof(out));
    if (kp_domain_generate(CKM_DH_PKCS_PARAMETER_GEN, &wanted, &w) != STATUS_ok)
        return false;
    wire_reader_init(&r, out, wire_written(&w));
    wire_read_template(&r, &made);
    prime_length = made.at[0].value.length;
    memcpy(prime, made.at[0].value.data, prime_length);
    return made.count == 2;
}

static struct wire_template parameters(uint64_t last, const void *value, size_t length)
{
    struct wire_template t = {.count = last ? 3 : 2};

    t.at[0] = (struct wire_attribute){CKA_PRIME, {prime, prime_length}};
    t.at[1] = (struct wire_attribute){CKA_BASE, {&two, 1}};
    t.at[2] = (struct wire_attribute){last, {value, length}};
    return t;
}

static struct kp_key *pair(void)
{
    struct wire_template t = parameters(0, NULL, 0);
    struct kp_key *key = NULL;

    kp_key_generate(CKM_DH_PKCS_KEY_PAIR_GEN, none, CKK_DH, &t, &key);
    return key;
}

static int derive(struct kp_key *key, const void *value, size_t length)
{
    static uint8_t out[WIRE_COMPONENT_MAX];
    struct wire_writer w;

    wire_writer_init(&w, out, sizeof(out));
    return kp_derive(CKM_DH_PKCS_DERIVE, key, NULL, (struct wire_bytes){value, length}, 0, &w);
}

/* PKCS #8 of a DSA key whose numbers are as long as one likes: what a caller may have wrapped. */
static size_t der_of(uint8_t **out, size_t prime_bytes, size_t value_bytes, int nid, bool subprime)
{
    X509_ALGOR *algorithm = X509_ALGOR_new();
    PKCS8_PRIV_KEY_INFO *info = PKCS8_PRIV_KEY_INFO_new();
    STACK_OF(ASN1_TYPE) *numbers = sk_ASN1_TYPE_new_null();
    size_t lengths[] = {prime_bytes, subprime ? 32 : 0, prime_bytes};
    uint8_t *der = NULL, *value = calloc(1, value_bytes + 8);
    ASN1_INTEGER *x = ASN1_INTEGER_new();
    int length;

    for (int i = 0; i < 3; i++) {
        BIGNUM *n = BN_new();
        ASN1_TYPE *type = ASN1_TYPE_new();

        if (lengths[i] == 0) {
            BN_free(n);
            ASN1_TYPE_free(type);
            continue;
        }
        BN_set_bit(n, (int)lengths[i] * 8 - 2);
        BN_add_word(n, 1);
        ASN1_TYPE_set(type, V_ASN1_INTEGER, BN_to_ASN1_INTEGER(n, NULL));
        sk_ASN1_TYPE_push(numbers, type);
        BN_free(n);
    }
    length = i2d_ASN1_SEQUENCE_ANY(numbers, &der);
    ASN1_STRING *sequence = ASN1_STRING_new();
    ASN1_STRING_set0(sequence, der, length);
    memset(value, 0x7f, value_bytes);
    BIGNUM *n = BN_bin2bn(value, (int)value_bytes, NULL);
    BN_to_ASN1_INTEGER(n, x);
    BN_free(n);
    der = NULL;
    length = i2d_ASN1_INTEGER(x, &der);
    PKCS8_pkey_set0(info, OBJ_nid2obj(nid), 0, V_ASN1_SEQUENCE, sequence, der, length);
    length = i2d_PKCS8_PRIV_KEY_INFO(info, out);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_ALGOR_free(algorithm);
    sk_ASN1_TYPE_pop_free(numbers, ASN1_TYPE_free);
    ASN1_INTEGER_free(x);
    free(value);
    return (size_t)length;
}

static void hostile_wrapping(const char *sentence, uint64_t type, int nid, bool subprime, size_t prime_bytes, size_t value_bytes)
{
    uint8_t *der = NULL;
    size_t length = der_of(&der, prime_bytes, value_bytes, nid, subprime);
    uint64_t before = kp_now_ms();
    struct kp_key *key = NULL;

    ok(kp_key_read_pkcs8(type, der, length, &key) == STATUS_wrapped_key_invalid, sentence);
    ok(kp_now_ms() - before < AFFORDABLE_MS, "and soon");
    OPENSSL_free(der);
}

enum { SPOONS = 4096 };

/* Everything that is left, but for `spare` bytes. */
static void eat(void *blocks[SPOONS], size_t spare)
{
    void *kept = kp_alloc(spare);
    size_t n = 0;

    for (size_t size = 65536; size >= 64; size /= 2)
        for (void *block; n < SPOONS && (block = kp_alloc(size));)
            blocks[n++] = block;
    kp_free(kept);
}

static void spit(void *blocks[SPOONS])
{
    for (size_t i = 0; i < SPOONS; i++) {
        kp_free(blocks[i]);
        blocks[i] = NULL;
    }
}

/* With too little memory for something: it says so and nothing else, gives all back, and works again. */
static void shortage(const char *sentence, int (*something)(void))
{
    static void *blocks[SPOONS];
    static const size_t spare[] = {0, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536};
    size_t used = kp_arena_used();
    bool said = true, some = false;

    for (size_t i = 0; i < sizeof(spare) / sizeof(spare[0]); i++) {
        int status;

        eat(blocks, spare[i]);
        status = something();
        spit(blocks);
        some |= status == STATUS_memory;
        if (status != STATUS_ok && status != STATUS_memory)
            said = false, printf("# %zu bytes to spare: status %d\n", spare[i], status);
    }
    ok(some && said, sentence);
    ok(something() == STATUS_ok, "and with it, it goes on");
    ok(kp_arena_check() && kp_arena_used() <= used + 8192, "nothing was lost");
}

static struct kp_key *dh;
static int derive_with_two(void) { return derive(dh, &two, 1); }

/* A key of another kind, its components as a sealed row would have them, and what it signed. */
static struct kp_key *signer;
static uint64_t signs_by;
static struct wire_template components;
static uint8_t signature[1024];
static size_t signature_length;

static int import_signer(void)
{
    struct kp_key *key = NULL;
    int status = kp_key_import(CKO_PRIVATE_KEY, signer->type, &components, &key);

    kp_key_drop(key);
    return status;
}

static int verify_signature(void)
{
    uint8_t unused[1];
    struct wire_writer w;
    struct kp_op op;
    int status = kp_op_begin(&op, signs_by, WIRE_VERIFY, signer, none);

    wire_writer_init(&w, unused, sizeof(unused));
    if (status == STATUS_ok)
        status = kp_op_finish(&op, (struct wire_bytes){prime, 32}, (struct wire_bytes){signature, signature_length}, &w);
    kp_op_end(&op);
    return status;
}

static void shortage_of(uint64_t generates, uint64_t type, uint64_t attribute, struct wire_bytes value, uint64_t signs)
{
    struct wire_template t = {.count = 1};
    struct wire_writer w;

    t.at[0] = (struct wire_attribute){attribute, value};
    if (!ok(kp_key_generate(generates, none, type, &t, &signer) == STATUS_ok, "a key that signs"))
        return;
    kp_key_components(signer, &components);
    signs_by = signs;
    wire_writer_init(&w, signature, sizeof(signature));
    ok(kp_op_once(signs, WIRE_SIGN, signer, none, (struct wire_bytes){prime, 32}, &w) == STATUS_ok, "it signs");
    signature_length = wire_written(&w);
    shortage("without memory, a good key is not called a wrong one", import_signer);
    shortage("nor a good signature", verify_signature);
    kp_key_drop(signer);
}

int main(void)
{
    static uint8_t ones[20000], p521_oid[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, bits[8] = {0, 8};
    const struct wire_bytes p521 = {p521_oid, sizeof(p521_oid)}, rsa = {bits, sizeof(bits)};
    struct wire_template t;
    struct kp_key *key = NULL;
    uint64_t before;

    if (!ok(open_crypto(), "the keeper's memory and OpenSSL start"))
        return done();
    memset(ones, 0xff, sizeof(ones));
    ok(domain(8192) && prime_length == 1024, "the parameters of 8192 bits");
    key = pair();
    ok(key && key->bits == 8192, "a pair of 8192 bits");
    if (!key)
        return done();
    before = kp_now_ms();
    ok(derive(key, &two, 1) == STATUS_ok, "agrees with 2");
    ok(kp_now_ms() - before < AFFORDABLE_MS, "soon");
    ok(derive(key, prime, prime_length) == STATUS_mechanism_param_invalid, "but not with the prime");
    ok(derive(key, ones, 1033) == STATUS_mechanism_param_invalid, "nor with a longer number");
    t = parameters(CKA_VALUE, ones, 1024);
    ok(kp_key_import(CKO_PRIVATE_KEY, CKK_DH, &t, &(struct kp_key *){NULL}) == STATUS_attribute_value_invalid,
       "a private value of all ones is above the prime");
    t.at[0].value = (struct wire_bytes){ones, 4096};
    ok(kp_key_import(CKO_PRIVATE_KEY, CKK_DH, &t, &(struct kp_key *){NULL}) == STATUS_key_size_range, "a prime of 32768 bits is not looked at");
    hostile_wrapping("a wrapped DSA key with a prime of 64000 bits", CKK_DSA, NID_dsa, true, 8000, 32);
    hostile_wrapping("one with a private value of 16000 bits", CKK_DSA, NID_dsa, true, 1024, 2000);
    hostile_wrapping("one that says it is RSA's", CKK_RSA, NID_dsa, true, 8000, 32);
    hostile_wrapping("one as long as is looked at", CKK_DSA, NID_dsa, true, 1500, 32);
    hostile_wrapping("a DH key, as long as is looked at", CKK_DH, NID_dhKeyAgreement, false, 1500, 1024);
    hostile_wrapping("a longer one", CKK_DH, NID_dhKeyAgreement, false, 4000, 4000);
    dh = key;
    shortage("without memory, a derivation with 8192 bits is refused for that", derive_with_two);
    kp_key_drop(key);
    shortage_of(CKM_EC_KEY_PAIR_GEN, CKK_EC, CKA_EC_PARAMS, p521, CKM_ECDSA_SHA256);
    shortage_of(CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA, CKA_MODULUS_BITS, rsa, CKM_SHA256_RSA_PKCS);
    return done();
}
