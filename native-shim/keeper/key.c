#include "key.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#include "arena.h"
#include "crypto.h"
#include "cryptoki.h"
#include "key_kinds.h"
#include "key_pq.h"
#include "mechanism.h"
#include "params.h"

enum { COMPONENTS_MAX = WIRE_MATERIAL_MAX, SECRET_MIN = 1 };

static struct kp_key *key_alloc(uint32_t object_class, uint64_t type, size_t length)
{
    struct kp_key *key = kp_alloc(sizeof(*key) + length);

    if (!key)
        return NULL;
    atomic_init(&key->refs, 1);
    key->object_class = object_class;
    key->type = type;
    key->length = length;
    return key;
}

/* Lengths in bytes that a type of secret key may have; none named: any. */
static const struct secret_type {
    uint64_t type;
    size_t lengths[3];
} secret_types[] = {
    {CKK_GENERIC_SECRET, {0}}, {CKK_AES, {16, 24, 32}}, {CKK_AES_XTS, {32, 64}},
    {CKK_CHACHA20, {32}},      {CKK_POLY1305, {32}},     {CKK_DES2, {16}},
    {CKK_DES3, {24}},          {CKK_DES, {8}},
};

static const struct secret_type *find_secret_type(uint64_t type)
{
    for (size_t i = 0; i < sizeof(secret_types) / sizeof(secret_types[0]); i++)
        if (secret_types[i].type == type)
            return &secret_types[i];
    return NULL;
}

static bool length_suits(uint64_t type, size_t length)
{
    const struct secret_type *t = find_secret_type(type);

    if (t->lengths[0] == 0)
        return length >= SECRET_MIN && length <= WIRE_COMPONENT_MAX;
    for (size_t i = 0; i < sizeof(t->lengths) / sizeof(t->lengths[0]); i++)
        if (length && t->lengths[i] == length)
            return true;
    return false;
}

static bool is_secret_type(uint64_t type) { return find_secret_type(type) != NULL; }

/* Two equal halves make XTS no mode at all (NIST SP 800-38E; OpenSSL refuses to encrypt with them). */
static bool halves_differ(const uint8_t *bytes, size_t length)
{
    return CRYPTO_memcmp(bytes, bytes + length / 2, length / 2) != 0;
}

/* PKCS#11 3.1, 6.20: the lowest bit of each byte of a DES key makes the number of ones odd. */
static void set_parity(uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] ^= (uint8_t)(~__builtin_popcount(bytes[i]) & 1);
}

const uint8_t *kp_key_for_cipher(const struct kp_key *key, uint8_t room[KP_CIPHER_KEY_ROOM])
{
    if (key->type != CKK_DES)
        return key->secret.data;
    for (size_t i = 0; i < KP_CIPHER_KEY_ROOM; i++)
        room[i] = key->secret.data[i % key->secret.length];
    return room;
}

int kp_key_fresh(uint64_t type, uint8_t *bytes, size_t length, struct kp_key **out)
{
    if (type == CKK_DES || type == CKK_DES2 || type == CKK_DES3)
        set_parity(bytes, length);
    return kp_key_secret(type, bytes, length, out);
}

int kp_key_secret(uint64_t type, const void *bytes, size_t length, struct kp_key **out)
{
    struct wire_writer w;
    struct kp_key *key;
    size_t mark;

    if (!is_secret_type(type))
        return STATUS_key_type_inconsistent;
    if (!length_suits(type, length))
        return STATUS_key_size_range;
    if (type == CKK_AES_XTS && !halves_differ(bytes, length))
        return STATUS_attribute_value_invalid;
    key = key_alloc(CKO_SECRET_KEY, type, 4 + 8 + 4 + length);
    if (!key)
        return STATUS_memory;
    wire_writer_init(&w, key->components, key->length);
    mark = wire_begin_template(&w);
    wire_write_attribute(&w, CKA_VALUE, bytes, length);
    wire_end_template(&w, mark, 1);
    key->bits = (uint32_t)length * 8;
    key->secret = (struct wire_bytes){key->components + 16, length};
    *out = key;
    return STATUS_ok;
}

/* Keys with two halves. */
static const struct kind {
    uint64_t type;
    int (*import)(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out);
    int (*generate)(uint64_t type, const struct wire_template *t, EVP_PKEY **out);
    int (*write)(const EVP_PKEY *pkey, bool private, struct wire_writer *w);
} kinds[] = {
    {CKK_RSA, kp_rsa_import, kp_rsa_generate, kp_rsa_write},
    {CKK_EC, kp_ec_import, kp_ec_generate, kp_ec_write},
    {CKK_EC_EDWARDS, kp_ec_import, kp_ec_generate, kp_ec_write},
    {CKK_EC_MONTGOMERY, kp_ec_import, kp_ec_generate, kp_ec_write},
    {CKK_DSA, kp_ffc_import, kp_ffc_generate, kp_ffc_write},
    {CKK_DH, kp_ffc_import, kp_ffc_generate, kp_ffc_write},
    {CKK_X9_42_DH, kp_ffc_import, kp_ffc_generate, kp_ffc_write},
    {CKK_ML_KEM, kp_pq_import, kp_pq_generate, kp_pq_write},
    {CKK_ML_DSA, kp_pq_import, kp_pq_generate, kp_pq_write},
    {CKK_SLH_DSA, kp_pq_import, kp_pq_generate, kp_pq_write},
};

static const struct kind *find_kind(uint64_t type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

int kp_kind_write(uint64_t type, const EVP_PKEY *pkey, bool private, struct wire_writer *w)
{
    const struct kind *kind = find_kind(type);

    return kind ? kind->write(pkey, private, w) : -1;
}

static int write_components(uint64_t type, const EVP_PKEY *pkey, bool private, struct wire_writer *w)
{
    size_t mark = wire_begin_template(w);
    int count = kp_kind_write(type, pkey, private, w);

    if (count < 0 || w->full)
        return STATUS_internal;
    wire_end_template(w, mark, (uint32_t)count);
    return STATUS_ok;
}

int kp_key_from_pkey(uint32_t object_class, uint64_t type, EVP_PKEY *pkey, struct kp_key **out)
{
    uint8_t *buffer = kp_alloc(COMPONENTS_MAX);
    struct kp_key *key = NULL;
    struct wire_writer w;
    int status = STATUS_memory;

    if (!buffer)
        goto out;
    wire_writer_init(&w, buffer, COMPONENTS_MAX);
    status = write_components(type, pkey, object_class == CKO_PRIVATE_KEY, &w);
    if (status != STATUS_ok)
        goto out;
    status = STATUS_memory;
    key = key_alloc(object_class, type, wire_written(&w));
    if (!key)
        goto out;
    memcpy(key->components, buffer, key->length);
    key->bits = (uint32_t)EVP_PKEY_get_bits(pkey);
    if (type == CKK_EC_EDWARDS || type == CKK_EC_MONTGOMERY)
        key->bits = key->bits > 256 ? 448 : 255; /* of the field, as the standard counts (PKCS#11 3.1, 6.3.2) */
    key->pkey = pkey;
    pkey = NULL;
    *out = key;
    status = STATUS_ok;
out:
    kp_free(buffer);
    EVP_PKEY_free(pkey);
    return status;
}

int kp_key_import(uint32_t object_class, uint64_t type, const struct wire_template *components, struct kp_key **out)
{
    const struct wire_attribute *value = wire_template_find(components, CKA_VALUE);
    bool private = object_class == CKO_PRIVATE_KEY;
    const struct kind *kind = find_kind(type);
    EVP_PKEY *pkey = NULL;
    int status;

    if (object_class == CKO_SECRET_KEY)
        return value ? kp_key_secret(type, value->value.data, value->value.length, out) : STATUS_template_incomplete;
    if (!private && object_class != CKO_PUBLIC_KEY)
        return STATUS_template_inconsistent;
    if (!kind)
        return STATUS_key_type_inconsistent;
    kp_crypto_try();
    status = kind->import(type, private, components, &pkey);
    if (status != STATUS_ok)
        return kp_crypto_failed(status);
    return kp_key_from_pkey(object_class, type, pkey, out);
}

static int generate_secret(const struct wire_mechanism *m, struct wire_bytes head, uint64_t type,
                           const struct wire_template *wanted, struct kp_key **out)
{
    const struct wire_attribute *a = wire_template_find(wanted, CKA_VALUE_LEN);
    struct wire_reader r;
    uint64_t length;
    uint8_t *bytes;
    int status;

    if (!a || a->value.length != 8)
        return STATUS_template_incomplete;
    wire_reader_init(&r, a->value.data, 8);
    length = wire_read_u64(&r);
    if (length > WIRE_COMPONENT_MAX || length > m->max || length < head.length || (head.length && length != m->max))
        return STATUS_key_size_range;
    bytes = kp_alloc(length);
    if (!bytes)
        return STATUS_memory;
    kp_random(bytes, length);
    if (head.length)
        memcpy(bytes, head.data, head.length);
    status = kp_key_fresh(type, bytes, length, out);
    kp_free(bytes);
    return status;
}

int kp_key_generate(uint64_t mechanism, struct wire_bytes params, uint64_t type, const struct wire_template *wanted,
                    struct kp_key **out)
{
    const struct wire_mechanism *m = wire_mechanism_find(mechanism);
    struct wire_params p;
    EVP_PKEY *pkey = NULL;
    int status;

    if (!m || m->engine != ENGINE_generate || !kp_mechanism_works(m))
        return STATUS_mechanism_invalid;
    if (!wire_params_read(m->layout, params, &p))
        return STATUS_mechanism_param_invalid;
    if (mechanism == CKM_GENERIC_SECRET_KEY_GEN ? !is_secret_type(type) : type != m->key_type)
        return STATUS_template_inconsistent;
    if (m->flags & CAN_GENERATE)
        return generate_secret(m, p.iv, type, wanted, out);
    status = mechanism == CKM_RSA_X9_31_KEY_PAIR_GEN ? kp_rsa_suits_x931(wanted) : STATUS_ok;
    if (status != STATUS_ok)
        return status;
    if (!kp_reseed())
        return STATUS_internal;
    kp_crypto_try();
    status = find_kind(type) ? find_kind(type)->generate(type, wanted, &pkey) : STATUS_mechanism_invalid;
    if (status != STATUS_ok)
        return kp_crypto_failed(status);
    return kp_key_from_pkey(CKO_PRIVATE_KEY, type, pkey, out);
}

struct kp_key *kp_key_ref(struct kp_key *key)
{
    atomic_fetch_add(&key->refs, 1);
    return key;
}

void kp_key_drop(struct kp_key *key)
{
    if (!key || atomic_fetch_sub(&key->refs, 1) != 1)
        return;
    kp_contexts_clear(&key->contexts);
    EVP_PKEY_free(key->pkey);
    kp_free(key);
}

void kp_key_components(const struct kp_key *key, struct wire_template *out)
{
    struct wire_reader r;

    wire_reader_init(&r, key->components, key->length);
    wire_read_template(&r, out);
}
