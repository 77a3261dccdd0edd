/*
 * A PKCS#11 program that uses keys by their labels, whoever keeps them: program MODULE TOKEN-LABEL. It makes a pair or key on the token, uses it in
 * every way that such a key is for, and destroys it. One line for each: its name and "ok"; "not offered" when the token makes no such key or has no
 * such mechanism; or what went wrong. It knows nothing of Sidekey.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BIG = 100000 };

static CK_FUNCTION_LIST_PTR p11;
static CK_SESSION_HANDLE session;
static CK_BBOOL yes = CK_TRUE;
static const CK_BYTE message[] = "what is to be signed";
static CK_BYTE long_message[BIG];
static char why[256];

static CK_RV said(const char *what, CK_RV rv)
{
    if (rv != CKR_OK && !why[0])
        snprintf(why, sizeof(why), "%s: 0x%lx", what, rv);
    return rv;
}

#define TRY(call) said(#call, p11->call)
#define TEXT(text) (void *)(uintptr_t)(text), strlen(text)

static int not_offered(CK_RV rv)
{
    return rv == CKR_MECHANISM_INVALID || rv == CKR_KEY_SIZE_RANGE || rv == CKR_CURVE_NOT_SUPPORTED ||
           rv == CKR_KEY_FUNCTION_NOT_PERMITTED;
}

static CK_OBJECT_HANDLE find(CK_OBJECT_CLASS class, const char *label)
{
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, TEXT(label)}};
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 0;

    if (TRY(C_FindObjectsInit(session, template, 2)) != CKR_OK || TRY(C_FindObjects(session, found, 2, &count)) != CKR_OK)
        return 0;
    TRY(C_FindObjectsFinal(session));
    return count == 1 ? found[0] : 0;
}

struct pair {
    CK_OBJECT_HANDLE public, private;
};

/* The pair as a later run of the program would find it: by its label. */
static CK_RV make_pair(CK_MECHANISM_TYPE type, CK_ATTRIBUTE parameter, CK_ATTRIBUTE_TYPE use, const char *label,
                       struct pair *out)
{
    CK_BYTE f4[] = {1, 0, 1};
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_ATTRIBUTE open[] = {{CKA_TOKEN, &yes, 1}, {CKA_LABEL, TEXT(label)}, parameter, {CKA_PUBLIC_EXPONENT, f4, 3}};
    CK_ATTRIBUTE hidden[] = {{CKA_TOKEN, &yes, 1}, {CKA_LABEL, TEXT(label)}, {use, &yes, 1}};
    CK_RV rv = p11->C_GenerateKeyPair(session, &mechanism, open, type == CKM_RSA_PKCS_KEY_PAIR_GEN ? 4 : 3, hidden, 3,
                                      &out->public, &out->private);

    if (rv != CKR_OK)
        return not_offered(rv) ? rv : said("C_GenerateKeyPair", rv);
    if (find(CKO_PRIVATE_KEY, label) != out->private || find(CKO_PUBLIC_KEY, label) != out->public)
        return said("the pair is not found by its label", CKR_GENERAL_ERROR);
    return CKR_OK;
}

static void destroy(CK_OBJECT_CLASS class, const char *label)
{
    CK_OBJECT_HANDLE key = find(class, label);

    if (key && TRY(C_DestroyObject(session, key)) == CKR_OK && find(class, label))
        said("it is there after it was destroyed", CKR_GENERAL_ERROR);
}

/* In one part and in three; with `prehashed` data in one part alone. */
static CK_RV sign_and_verify(CK_MECHANISM *m, CK_OBJECT_HANDLE signer, CK_OBJECT_HANDLE verifier, const CK_BYTE *data,
                             CK_ULONG length, int in_parts)
{
    CK_BYTE signature[1024];
    CK_ULONG size = sizeof(signature);
    CK_RV rv = p11->C_SignInit(session, m, signer);

    if (rv != CKR_OK)
        return not_offered(rv) ? rv : said("C_SignInit", rv);
    if (in_parts) {
        for (int i = 0; i < 3 && rv == CKR_OK; i++)
            rv = TRY(C_SignUpdate(session, (CK_BYTE_PTR)(uintptr_t)data + length * i / 3,
                                  length * (i + 1) / 3 - length * i / 3));
        if (rv == CKR_OK)
            rv = TRY(C_SignFinal(session, signature, &size));
    } else {
        rv = TRY(C_Sign(session, (CK_BYTE_PTR)(uintptr_t)data, length, signature, &size));
    }
    if (rv != CKR_OK || TRY(C_VerifyInit(session, m, verifier)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    if (TRY(C_Verify(session, (CK_BYTE_PTR)(uintptr_t)data, length, signature, size)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    signature[size / 2] ^= 1;
    if (TRY(C_VerifyInit(session, m, verifier)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    rv = p11->C_Verify(session, (CK_BYTE_PTR)(uintptr_t)data, length, signature, size);
    return rv == CKR_SIGNATURE_INVALID ? CKR_OK : said("C_Verify of a changed signature", CKR_GENERAL_ERROR);
}

static void report(const char *name, CK_RV rv)
{
    if (why[0])
        printf("%s: %s\n", name, why);
    else
        printf("%s: %s\n", name, rv == CKR_OK ? "ok" : "not offered");
    why[0] = 0;
    fflush(stdout);
}

static void elliptic(void)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM hashed = {CKM_ECDSA_SHA256, NULL, 0}, raw = {CKM_ECDSA, NULL, 0};
    struct pair pair;
    CK_RV rv = make_pair(CKM_EC_KEY_PAIR_GEN, (CK_ATTRIBUTE){CKA_EC_PARAMS, p256, sizeof(p256)}, CKA_SIGN, "proof-ec",
                         &pair);

    if (rv != CKR_OK) {
        report("EC P-256", rv);
        return;
    }
    report("ECDSA_SHA256", sign_and_verify(&hashed, pair.private, pair.public, message, sizeof(message), 0));
    report("ECDSA_SHA256 of 100000 bytes in parts",
           sign_and_verify(&hashed, pair.private, pair.public, long_message, BIG, 1));
    report("ECDSA of a digest", sign_and_verify(&raw, pair.private, pair.public, long_message, 32, 0));
    destroy(CKO_PRIVATE_KEY, "proof-ec");
    report("EC P-256", CKR_OK);
}

static void rsa_signing(void)
{
    static CK_BYTE info[51] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                               0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    CK_MECHANISM hashed = {CKM_SHA256_RSA_PKCS, NULL, 0}, raw = {CKM_RSA_PKCS, NULL, 0};
    CK_MECHANISM salted = {CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof(pss)};
    CK_ULONG bits = 2048;
    struct pair pair;
    CK_RV rv = make_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, (CK_ATTRIBUTE){CKA_MODULUS_BITS, &bits, sizeof(bits)}, CKA_SIGN,
                         "proof-rsa", &pair);

    if (rv != CKR_OK) {
        report("RSA-2048 for signing", rv);
        return;
    }
    report("SHA256_RSA_PKCS", sign_and_verify(&hashed, pair.private, pair.public, message, sizeof(message), 1));
    report("RSA_PKCS of a DigestInfo", sign_and_verify(&raw, pair.private, pair.public, info, sizeof(info), 0));
    report("SHA256_RSA_PKCS_PSS", sign_and_verify(&salted, pair.private, pair.public, message, sizeof(message), 0));
    destroy(CKO_PRIVATE_KEY, "proof-rsa");
    report("RSA-2048 for signing", CKR_OK);
}

static CK_BBOOL no = CK_FALSE;

/* A key of this session whose value may be read, so that two of them can be compared. */
#define READABLE {CKA_CLASS, &secret, sizeof(secret)}, {CKA_KEY_TYPE, &aes, sizeof(aes)}, {CKA_SENSITIVE, &no, 1}, {CKA_EXTRACTABLE, &yes, 1}
static CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;

static int same_value(CK_OBJECT_HANDLE a, CK_OBJECT_HANDLE b)
{
    CK_BYTE of_a[64], of_b[64];
    CK_ATTRIBUTE value_a = {CKA_VALUE, of_a, sizeof(of_a)}, value_b = {CKA_VALUE, of_b, sizeof(of_b)};

    return TRY(C_GetAttributeValue(session, a, &value_a, 1)) == CKR_OK &&
           TRY(C_GetAttributeValue(session, b, &value_b, 1)) == CKR_OK && value_a.ulValueLen == value_b.ulValueLen &&
           memcmp(of_a, of_b, value_a.ulValueLen) == 0;
}

static CK_RV wrap_and_unwrap(CK_MECHANISM *m, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE unwrapping)
{
    CK_MECHANISM make = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG bytes = 32, size;
    CK_ATTRIBUTE template[] = {READABLE, {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    CK_BYTE wrapped[1024];
    CK_OBJECT_HANDLE key, again;
    CK_RV rv;

    if (TRY(C_GenerateKey(session, &make, template, 5, &key)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    size = sizeof(wrapped);
    rv = p11->C_WrapKey(session, m, wrapping, key, wrapped, &size);
    if (rv != CKR_OK)
        return not_offered(rv) ? rv : said("C_WrapKey", rv);
    if (TRY(C_UnwrapKey(session, m, unwrapping, wrapped, size, template, 4, &again)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    if (!same_value(key, again))
        return said("another key", CKR_GENERAL_ERROR);
    rv = p11->C_UnwrapKey(session, m, unwrapping, wrapped, size - 1, template, 4, &again);
    return rv == CKR_WRAPPED_KEY_LEN_RANGE || rv == CKR_WRAPPED_KEY_INVALID
               ? CKR_OK
               : said("C_UnwrapKey of what was cut", rv ? rv : CKR_GENERAL_ERROR);
}

/* With the first hash that the key opens. */
static CK_RV open_oaep(const struct pair *pair)
{
    static CK_RSA_PKCS_OAEP_PARAMS tries[] = {{CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0},
                                              {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0}};
    CK_BYTE sealed[512], opened[512];
    CK_ULONG size = sizeof(sealed), length = sizeof(opened);
    CK_RV rv = CKR_GENERAL_ERROR;
    CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, NULL, sizeof(tries[0])};

    for (int i = 0; i < 2 && rv != CKR_OK; i++) {
        m.pParameter = &tries[i];
        rv = p11->C_DecryptInit(session, &m, pair->private);
    }
    if (rv != CKR_OK)
        return not_offered(rv) ? rv : said("C_DecryptInit", rv);
    if (TRY(C_EncryptInit(session, &m, pair->public)) != CKR_OK ||
        TRY(C_Encrypt(session, (CK_BYTE_PTR)(uintptr_t)message, sizeof(message), sealed, &size)) != CKR_OK ||
        TRY(C_Decrypt(session, sealed, size, opened, &length)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    if (length != sizeof(message) || memcmp(opened, message, length) != 0)
        return said("another plaintext", CKR_GENERAL_ERROR);
    sealed[size / 2] ^= 1;
    length = sizeof(opened);
    if (TRY(C_DecryptInit(session, &m, pair->private)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    rv = p11->C_Decrypt(session, sealed, size, opened, &length);
    return rv == CKR_ENCRYPTED_DATA_INVALID ? CKR_OK : said("C_Decrypt of a changed ciphertext", rv ? rv : 1);
}

/* With the first hash that the key opens; `with_aes`: of any length, by a key for AES between them. */
static CK_RV wrap_by_oaep(const struct pair *pair, int with_aes)
{
    static CK_RSA_PKCS_OAEP_PARAMS tries[] = {{CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0},
                                              {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0}};
    struct {
        CK_ULONG bits;
        CK_RSA_PKCS_OAEP_PARAMS *oaep;
    } between = {256, NULL};
    CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, NULL, sizeof(tries[0])};
    CK_MECHANISM long_m = {CKM_RSA_AES_KEY_WRAP, &between, sizeof(between)};

    for (int i = 0; i < 2; i++) {
        m.pParameter = between.oaep = &tries[i];
        if (p11->C_DecryptInit(session, &m, pair->private) != CKR_OK)
            continue;
        p11->C_DecryptInit(session, NULL, pair->private);
        return wrap_and_unwrap(with_aes ? &long_m : &m, pair->public, pair->private);
    }
    return CKR_MECHANISM_INVALID;
}

static void rsa_opening(void)
{
    CK_ULONG bits = 2048;
    struct pair pair;
    CK_RV rv = make_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, (CK_ATTRIBUTE){CKA_MODULUS_BITS, &bits, sizeof(bits)}, CKA_DECRYPT,
                         "proof-open", &pair);

    if (rv == CKR_OK) {
        report("RSA_PKCS_OAEP", open_oaep(&pair));
        report("keys wrapped by RSA_PKCS_OAEP", wrap_by_oaep(&pair, 0));
        report("keys wrapped by RSA_AES_KEY_WRAP", wrap_by_oaep(&pair, 1));
        destroy(CKO_PRIVATE_KEY, "proof-open");
    }
    report("RSA-2048 for decryption", rv);
}

/* The token's pair and one of the session, each with the other's point. */
static void agreeing(void)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_BYTE point[2][80];
    CK_MECHANISM make = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ECDH1_DERIVE_PARAMS with[2] = {{CKD_SHA256_KDF, 6, (CK_BYTE_PTR) "beside", 0, point[1]},
                                      {CKD_SHA256_KDF, 6, (CK_BYTE_PTR) "beside", 0, point[0]}};
    CK_MECHANISM m[2] = {{CKM_ECDH1_DERIVE, &with[0], sizeof(with[0])}, {CKM_ECDH1_DERIVE, &with[1], sizeof(with[1])}};
    CK_ULONG bytes = 32;
    CK_ATTRIBUTE curve = {CKA_EC_PARAMS, p256, sizeof(p256)}, derive = {CKA_DERIVE, &yes, 1};
    CK_ATTRIBUTE template[] = {READABLE, {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    struct pair pair[2];
    CK_OBJECT_HANDLE key[2];
    CK_RV rv = make_pair(CKM_EC_KEY_PAIR_GEN, curve, CKA_DERIVE, "proof-dh", &pair[0]);

    if (rv == CKR_OK && TRY(C_GenerateKeyPair(session, &make, &curve, 1, &derive, 1, &pair[1].public, &pair[1].private)) == CKR_OK) {
        for (int i = 0; i < 2; i++) {
            CK_ATTRIBUTE at = {CKA_EC_POINT, point[i], sizeof(point[i])};

            TRY(C_GetAttributeValue(session, pair[i].public, &at, 1));
            with[1 - i].ulPublicDataLen = at.ulValueLen;
        }
        rv = p11->C_DeriveKey(session, &m[0], pair[0].private, template, 5, &key[0]);
        if (rv != CKR_OK && !not_offered(rv))
            said("C_DeriveKey", rv);
        if (rv == CKR_OK && TRY(C_DeriveKey(session, &m[1], pair[1].private, template, 5, &key[1])) == CKR_OK &&
            !same_value(key[0], key[1]))
            said("another secret", CKR_GENERAL_ERROR);
        destroy(CKO_PRIVATE_KEY, "proof-dh");
    }
    report("ECDH1_DERIVE", rv);
}

static CK_RV make_secret(CK_MECHANISM_TYPE type, CK_ATTRIBUTE_TYPE use, const char *label, CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_ULONG bytes = 32;
    CK_ATTRIBUTE template[] = {{CKA_TOKEN, &yes, 1},
                               {CKA_LABEL, TEXT(label)},
                               {CKA_VALUE_LEN, &bytes, sizeof(bytes)},
                               {use, &yes, 1}};
    CK_RV rv = p11->C_GenerateKey(session, &mechanism, template, 4, key);

    return rv == CKR_OK || not_offered(rv) ? rv : said("C_GenerateKey", rv);
}

static void codes(void)
{
    CK_MECHANISM m = {CKM_SHA256_HMAC, NULL, 0};
    CK_OBJECT_HANDLE key;
    CK_RV rv = make_secret(CKM_GENERIC_SECRET_KEY_GEN, CKA_SIGN, "proof-mac", &key);

    if (rv == CKR_OK) {
        report("SHA256_HMAC", sign_and_verify(&m, key, key, message, sizeof(message), 1));
        destroy(CKO_SECRET_KEY, "proof-mac");
    }
    report("generic secret", rv);
}

static CK_RV seal_and_open(CK_OBJECT_HANDLE key)
{
    CK_BYTE iv[12] = {1, 2, 3}, sealed[128], opened[128];
    CK_GCM_PARAMS gcm = {iv, sizeof(iv), 96, (CK_BYTE_PTR) "beside", 6, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    CK_ULONG size = sizeof(sealed), length = sizeof(opened);
    CK_RV rv = p11->C_EncryptInit(session, &m, key);

    if (rv != CKR_OK)
        return not_offered(rv) ? rv : said("C_EncryptInit", rv);
    if (TRY(C_Encrypt(session, (CK_BYTE_PTR)(uintptr_t)message, sizeof(message), sealed, &size)) != CKR_OK ||
        TRY(C_DecryptInit(session, &m, key)) != CKR_OK ||
        TRY(C_Decrypt(session, sealed, size, opened, &length)) != CKR_OK)
        return CKR_GENERAL_ERROR;
    return length == sizeof(message) && memcmp(opened, message, length) == 0 ? CKR_OK
                                                                              : said("another plaintext", 1);
}

static void ciphers(void)
{
    CK_OBJECT_HANDLE key;
    CK_RV rv = make_secret(CKM_AES_KEY_GEN, CKA_ENCRYPT, "proof-aes", &key);

    if (rv == CKR_OK) {
        CK_BYTE iv[16] = {1}, nonce[12] = {7};
        CK_GCM_PARAMS gcm = {nonce, sizeof(nonce), 96, (CK_BYTE_PTR) "beside", 6, 128};
        CK_MECHANISM by_gcm = {CKM_AES_GCM, &gcm, sizeof(gcm)}, by_cbc = {CKM_AES_CBC_PAD, iv, sizeof(iv)};

        report("AES_GCM", seal_and_open(key));
        report("keys wrapped by AES_GCM", wrap_and_unwrap(&by_gcm, key, key));
        report("keys wrapped by AES_CBC_PAD", wrap_and_unwrap(&by_cbc, key, key));
        destroy(CKO_SECRET_KEY, "proof-aes");
    }
    report("AES-256", rv);
}

static int open_token(const char *label)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    CK_TOKEN_INFO info;

    if (TRY(C_Initialize(NULL)) != CKR_OK || TRY(C_GetSlotList(CK_TRUE, slots, &count)) != CKR_OK)
        return 0;
    for (CK_ULONG i = 0; i < count; i++)
        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && !memcmp(info.label, label, strlen(label)))
            return TRY(C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session)) == CKR_OK;
    said("no such token", CKR_TOKEN_NOT_PRESENT);
    return 0;
}

int main(int argc, char **argv)
{
    void *library = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
    CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;

    if (!get || get(&p11) != CKR_OK)
        return 2;
    memset(long_message, 'x', sizeof(long_message));
    if (open_token(argv[2])) {
        elliptic();
        agreeing();
        rsa_signing();
        rsa_opening();
        codes();
        ciphers();
        report("the token", CKR_OK);
    } else {
        report("the token", CKR_OK);
    }
    p11->C_Finalize(NULL);
    return 0;
}
