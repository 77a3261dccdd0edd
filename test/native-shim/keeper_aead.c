/*
 * AES-GCM as the keeper makes it, whoever makes it here, against OpenSSL by EVP: lengths, parts, associated data, initial values,
 * tags, in place or not; and what must not open. What is random comes of a seed that is printed.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "aead.h"
#include "keeper_tap.h"

enum { ROUNDS = 4000, DATA_MAX = 5000, AAD_MAX = 300, IV_MAX = 128, BLOCK = 16, LONG = 1 << 20, TRIES_MAX = 4000000 };

struct message {
    uint8_t key[32], iv[IV_MAX], aad[AAD_MAX], plain[DATA_MAX], sealed[DATA_MAX + BLOCK];
    size_t key_bytes, iv_bytes, aad_bytes, length, tag;
};

static unsigned seed;

static size_t below(size_t n) { return (size_t)rand_r(&seed) % n; }

static void fill(uint8_t *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)rand_r(&seed);
}

/* Mostly short, where the cases are; a twelve-byte initial value each other time. */
static void make(struct message *m)
{
    fill((uint8_t *)m, offsetof(struct message, sealed));
    m->key_bytes = 16 + 8 * below(3);
    m->iv_bytes = below(2) ? 12 : 1 + below(IV_MAX);
    m->aad_bytes = below(2) ? below(20) : below(AAD_MAX);
    m->length = below(3) ? below(300) : below(DATA_MAX);
    m->tag = 4 + below(BLOCK - 3);
}

static bool seal_by_evp(const struct message *m, const uint8_t *in, size_t length, uint8_t *out)
{
    const char *names[] = {"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[m->key_bytes / 8 - 2], NULL);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n;
    bool good = EVP_EncryptInit_ex(c, cipher, NULL, NULL, NULL) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, (int)m->iv_bytes, NULL) == 1 &&
                EVP_EncryptInit_ex(c, NULL, NULL, m->key, m->iv) == 1 &&
                EVP_EncryptUpdate(c, NULL, &n, m->aad, (int)m->aad_bytes) == 1 &&
                EVP_EncryptUpdate(c, out, &n, in, (int)length) == 1 && EVP_EncryptFinal_ex(c, out, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, (int)m->tag, out + length) == 1;

    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
    return good;
}

static struct kp_aead *open_context(const struct message *m, bool encrypts)
{
    return kp_aead_new(kp_cipher_name("GCM", m->key_bytes), (struct wire_bytes){m->key, m->key_bytes}, encrypts);
}

static bool begin(struct kp_aead *a, const struct message *m)
{
    return a && kp_aead_begin(a, (struct wire_bytes){m->iv, m->iv_bytes}, (struct wire_bytes){m->aad, m->aad_bytes});
}

/* In one part, or in several of any length, also none. */
static bool run_parts(struct kp_aead *a, const uint8_t *in, size_t length, uint8_t *out)
{
    const bool whole = below(2) == 0;
    size_t at = 0;

    while (at < length) {
        size_t next = whole ? length : below(below(2) ? 40 : length - at + 1);

        next = next < length - at ? next : length - at;
        if (!kp_aead_update(a, (struct wire_bytes){in + at, next}, out + at))
            return false;
        at += next;
    }
    return true;
}

static bool seal(struct kp_aead *a, const struct message *m, uint8_t *out)
{
    const bool in_place = below(2) == 0;

    if (in_place)
        memcpy(out, m->plain, m->length);
    return begin(a, m) && run_parts(a, in_place ? out : m->plain, m->length, out) && kp_aead_seal(a, out + m->length, m->tag);
}

static bool opens(struct kp_aead *a, const struct message *m)
{
    uint8_t out[DATA_MAX], tag[BLOCK];
    const bool in_place = below(2) == 0;

    memcpy(out, m->sealed, m->length);
    memcpy(tag, m->sealed + m->length, m->tag);
    return begin(a, m) && run_parts(a, in_place ? out : m->sealed, m->length, out) && kp_aead_check(a, tag, m->tag) &&
           memcmp(out, m->plain, m->length) == 0;
}

/* One bit of one thing that the tag vouches for. */
static void falsify(struct message *m)
{
    uint8_t *at[] = {m->sealed, m->sealed + m->length, m->iv, m->aad};
    const size_t lengths[] = {m->length, m->tag, m->iv_bytes, m->aad_bytes};
    size_t which = below(4);

    which = lengths[which] ? which : 1;
    at[which][below(lengths[which])] ^= (uint8_t)(1u << below(8));
}

struct seen {
    unsigned same, opened, refused, again;
};

static void try(struct message *m, struct seen *seen)
{
    uint8_t out[DATA_MAX + BLOCK];
    struct kp_aead *forth = open_context(m, true), *back = open_context(m, false);

    seal_by_evp(m, m->plain, m->length, m->sealed);
    seen->same += seal(forth, m, out) && memcmp(out, m->sealed, m->length + m->tag) == 0;
    seen->opened += opens(back, m);
    m->iv[0] ^= 1;
    seal_by_evp(m, m->plain, m->length, m->sealed);
    seen->again += seal(forth, m, out) && memcmp(out, m->sealed, m->length + m->tag) == 0 && opens(back, m);
    falsify(m);
    seen->refused += !opens(back, m);
    kp_aead_free(forth);
    kp_aead_free(back);
}

static void differ(void)
{
    static struct message m;
    struct seen seen = {0};

    for (unsigned i = 0; i < ROUNDS; i++) {
        make(&m);
        try(&m, &seen);
    }
    ok(seen.same == ROUNDS, "whatever the lengths and parts are, it enciphers as OpenSSL does");
    ok(seen.opened == ROUNDS, "and deciphers what OpenSSL enciphered");
    ok(seen.again == ROUNDS, "a second message of a context is as the first");
    ok(seen.refused == ROUNDS, "one bit changed anywhere, and the tag is bad");
}

/* The last 32 bits of the counter's first value: the tag of nothing is its encryption. */
static uint32_t counter_of(struct message *m)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t tag[BLOCK], block[2 * BLOCK];
    int n;

    m->aad_bytes = 0;
    m->tag = BLOCK;
    seal_by_evp(m, m->plain, 0, tag);
    EVP_DecryptInit_ex(c, EVP_aes_256_ecb(), NULL, m->key, NULL);
    EVP_CIPHER_CTX_set_padding(c, 0);
    EVP_DecryptUpdate(c, block, &n, tag, sizeof(tag));
    EVP_CIPHER_CTX_free(c);
    return (uint32_t)block[12] << 24 | (uint32_t)block[13] << 16 | (uint32_t)block[14] << 8 | block[15];
}

/* A counter that ends within a message goes on at 0, and carries into nothing. One that begins near enough to its end is looked
 * for among initial values. */
static void wrap(void)
{
    static struct message m;
    static uint8_t in[LONG], theirs[LONG + BLOCK], ours[LONG + BLOCK];
    struct kp_aead *a;
    uint32_t tries = 0;

    seed = 4; /* one of those that find one: rand_r gives few enough values for some to find none */
    make(&m);
    m.key_bytes = 32;
    m.iv_bytes = 16;
    do
        fill(m.iv, m.iv_bytes); /* all of it: the counter is linear in it, so that few of its bits may reach few counters */
    while (counter_of(&m) < UINT32_MAX - LONG / BLOCK / 2 && ++tries < TRIES_MAX);
    fill(in, sizeof(in));
    a = open_context(&m, true);
    ok(tries < TRIES_MAX && seal_by_evp(&m, in, LONG, theirs) && begin(a, &m) && run_parts(a, in, LONG, ours) &&
           kp_aead_seal(a, ours + LONG, BLOCK) && memcmp(ours, theirs, sizeof(ours)) == 0,
       "a counter that ends within a message begins anew");
    kp_aead_free(a);
}

static void initial_value(void)
{
    static struct message m;
    struct kp_aead *a;

    make(&m);
    a = open_context(&m, true);
    m.iv_bytes = 0;
    ok(!begin(a, &m), "no initial value is none");
    kp_aead_free(a);
}

/* Lengths that are not there. OpenSSL counts as well, but only after it has enciphered the first part. */
static void most(void)
{
    static struct message m;
    struct kp_aead *a;
    uint8_t out[1];
    const size_t bytes = ((size_t)1 << 36) - 32;

    make(&m);
    a = open_context(&m, true);
    ok(begin(a, &m) && !kp_aead_update(a, (struct wire_bytes){m.plain, bytes + 1}, out), "a message has at most 2^36 - 32 bytes");
    ok(begin(a, &m) && kp_aead_update(a, (struct wire_bytes){m.plain, 1}, out) &&
           !kp_aead_update(a, (struct wire_bytes){m.plain, bytes}, out),
       "in all");
    kp_aead_free(a);
}

int main(int argc, char **argv)
{
    if (!ok(open_crypto(), "the keeper's memory and OpenSSL start"))
        return done();
    if (argc < 2)
        RAND_bytes((unsigned char *)&seed, sizeof(seed));
    else
        seed = (unsigned)strtoul(argv[1], NULL, 10);
    printf("# seed %u, AES-GCM by %s\n", seed, kp_aead_is_fast() ? "ipsec-mb" : "OpenSSL");
    differ();
    wrap();
    initial_value();
    if (kp_aead_is_fast())
        most();
    ok(kp_arena_check(), "nothing was written beyond its block");
    return done();
}
