/* What may be said of a key aloud: its public components, and PKCS#8 for wrapping (which is not public). */
#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "arena.h"
#include "crypto.h"
#include "cryptoki.h"
#include "key_kinds.h"

enum { CHECK_VALUE = 3 };

static void write_number(struct wire_writer *w, uint64_t type, uint64_t value)
{
    wire_write_u64(w, type);
    wire_write_u32(w, 8);
    wire_write_u64(w, value);
}

/* PKCS#11 3.1, 4.10.2: a block cipher encrypts zeros; for others the hash. */
static bool check_value(const struct kp_key *key, uint8_t *out)
{
    static const uint8_t zeros[16];
    bool single = key->type == CKK_DES, des = single || key->type == CKK_DES2 || key->type == CKK_DES3;
    const EVP_CIPHER *cipher = kp_cipher(single ? "DES-ECB" : des ? "DES3-ECB" : "ECB", key->secret.length);
    uint8_t room[KP_CIPHER_KEY_ROOM];
    EVP_CIPHER_CTX *ctx;
    int length;
    bool ok;

    if (key->type != CKK_AES && !des)
        return EVP_Digest(key->secret.data, key->secret.length, out, NULL, kp_md("SHA1"), NULL) == 1;
    ctx = EVP_CIPHER_CTX_new();
    ok = ctx && EVP_EncryptInit_ex2(ctx, cipher, kp_key_for_cipher(key, room), NULL, NULL) == 1 &&
         EVP_EncryptUpdate(ctx, out, &length, zeros, sizeof(zeros)) == 1;
    EVP_CIPHER_CTX_free(ctx);
    wire_wipe(room, sizeof(room));
    return ok;
}

static int write_secret(const struct kp_key *key, struct wire_writer *w)
{
    uint8_t check[EVP_MAX_MD_SIZE];

    if (!check_value(key, check))
        return -1;
    write_number(w, CKA_VALUE_LEN, key->secret.length);
    wire_write_attribute(w, CKA_CHECK_VALUE, check, CHECK_VALUE);
    wire_wipe(check, sizeof(check));
    return 2;
}

static int write_public_info(const struct kp_key *key, struct wire_writer *w)
{
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(key->pkey, &der);

    if (length <= 0)
        return -1;
    wire_write_attribute(w, CKA_PUBLIC_KEY_INFO, der, (size_t)length);
    OPENSSL_free(der);
    return 1;
}

int kp_key_write_public(const struct kp_key *key, struct wire_writer *w)
{
    size_t mark = wire_begin_template(w);
    int count, info = 0;

    if (!key->pkey)
        count = write_secret(key, w);
    else
        count = kp_kind_write(key->type, key->pkey, false, w);
    if (key->pkey)
        info = write_public_info(key, w);
    if (count < 0 || info < 0)
        return STATUS_internal;
    if (key->type == CKK_RSA) {
        write_number(w, CKA_MODULUS_BITS, key->bits);
        count++;
    }
    wire_end_template(w, mark, (uint32_t)(count + info));
    return w->full ? STATUS_internal : STATUS_ok;
}

int kp_key_write_pkcs8(const struct kp_key *key, struct wire_writer *w)
{
    PKCS8_PRIV_KEY_INFO *info;
    unsigned char *der = NULL;
    int length;

    if (key->object_class != CKO_PRIVATE_KEY || !key->pkey)
        return STATUS_key_not_wrappable;
    info = EVP_PKEY2PKCS8(key->pkey);
    length = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (length <= 0)
        return STATUS_internal;
    wire_write_raw(w, der, (size_t)length);
    OPENSSL_clear_free(der, (size_t)length);
    return w->full ? STATUS_memory : STATUS_ok;
}

/* Components and back through kp_key_import, so that a key from outside is checked by the same code however it came. */
static int recheck(uint64_t type, EVP_PKEY *pkey, struct kp_key **out)
{
    struct wire_template t;
    struct kp_key *raw = NULL;
    int status = kp_key_from_pkey(CKO_PRIVATE_KEY, type, pkey, &raw);

    if (status != STATUS_ok)
        return STATUS_wrapped_key_invalid;
    kp_key_components(raw, &t);
    status = kp_key_import(CKO_PRIVATE_KEY, type, &t, out);
    kp_key_drop(raw);
    return status == STATUS_memory ? status : status == STATUS_ok ? STATUS_ok : STATUS_wrapped_key_invalid;
}

/*
 * Decoding a DSA or DH key computes its public value: a caller's numbers are bounded before, by the length of what they are
 * written in. At the bound it costs about three seconds.
 */
static bool is_affordable(const PKCS8_PRIV_KEY_INFO *info)
{
    enum { NUMBER = 8192 / 8 + 8, DSA_VALUE = 40 };
    const ASN1_OBJECT *algorithm;
    const X509_ALGOR *whole;
    const unsigned char *value;
    int nid, length;

    if (PKCS8_pkey_get0(&algorithm, &value, &length, &whole, info) != 1)
        return false;
    nid = OBJ_obj2nid(algorithm);
    if (nid != NID_dsa && nid != NID_dhKeyAgreement && nid != NID_dhpublicnumber)
        return true;
    return i2d_X509_ALGOR(whole, NULL) <= 3 * NUMBER && length <= (nid == NID_dsa ? DSA_VALUE : NUMBER);
}

/*
 * RFC 5958 lets the public key follow in [1], and Bouncy Castle writes it so; OpenSSL 3.0 does not know it, and the private key says the
 * same. Without it, as version 0, in the arena; NULL: there is none.
 */
static uint8_t *without_public_key(const uint8_t *der, size_t length, size_t *left)
{
    const unsigned char *at = der, *first, *end;
    unsigned char *out, *to;
    long size;
    int tag, class;

    if (ASN1_get_object(&at, &size, &tag, &class, (long)length) != V_ASN1_CONSTRUCTED || tag != V_ASN1_SEQUENCE)
        return NULL;
    for (first = at, end = at + size; at < end; at += size) {
        const unsigned char *begins = at;

        if (ASN1_get_object(&at, &size, &tag, &class, end - at) & 0x80)
            return NULL;
        if (class != V_ASN1_CONTEXT_SPECIFIC || tag != 1)
            continue;
        size = begins - first;
        if (size < 3 || memcmp(first, "\2\1\1", 3) != 0) /* version 1 alone has it */
            return NULL;
        out = to = kp_alloc((size_t)ASN1_object_size(1, (int)size, V_ASN1_SEQUENCE));
        if (!out)
            return NULL;
        ASN1_put_object(&to, 1, (int)size, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
        memcpy(to, first, (size_t)size);
        to[2] = 0;
        *left = (size_t)(to + size - out);
        return out;
    }
    return NULL;
}

static PKCS8_PRIV_KEY_INFO *decode(const uint8_t *der, size_t length)
{
    const unsigned char *at = der;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)length);
    size_t left = 0;
    uint8_t *shorter = info ? NULL : without_public_key(der, length, &left);

    if (!shorter)
        return info;
    at = shorter;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)left);
    kp_free(shorter);
    return info;
}

/* Bytes after the structure are allowed: an unwrapping without padding of its own (CBC, ECB) leaves zeros there. */
int kp_key_read_pkcs8(uint64_t type, const void *der, size_t length, struct kp_key **out)
{
    PKCS8_PRIV_KEY_INFO *info = decode(der, length);
    EVP_PKEY *pkey = info && is_affordable(info) ? EVP_PKCS82PKEY(info) : NULL;

    PKCS8_PRIV_KEY_INFO_free(info);
    if (!pkey)
        return STATUS_wrapped_key_invalid;
    if (kp_key_type_of(pkey) != type) {
        EVP_PKEY_free(pkey);
        return STATUS_wrapped_key_invalid;
    }
    return recheck(type, pkey, out);
}
