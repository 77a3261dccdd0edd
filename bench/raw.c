/* The same rows by OpenSSL alone, contexts cached. */
#include "bench.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

static EVP_PKEY *raw_rsa, *raw_ec;

static EVP_CIPHER_CTX *cipher_context(const EVP_CIPHER *cipher)
{
    unsigned char key[32] = {7}, iv[16] = {1};
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

    return c && EVP_EncryptInit_ex(c, cipher, NULL, key, iv) ? c : NULL;
}

CK_RV raw_gcm(CK_SESSION_HANDLE s, size_t size)
{
    static __thread EVP_CIPHER_CTX *c;
    unsigned char iv[12] = {1}, tag[16];
    int length;

    (void)s;
    if (!c && !(c = cipher_context(EVP_aes_256_gcm())))
        return 1;
    if (!EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv))
        return 1;
    for (size_t at = 0; at < size; at += PIECE)
        if (!EVP_EncryptUpdate(c, out, &length, in, (int)(size - at < PIECE ? size - at : PIECE)))
            return 1;
    return !(EVP_EncryptFinal_ex(c, out, &length) && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag));
}

CK_RV raw_cbc(CK_SESSION_HANDLE s, size_t size)
{
    static __thread EVP_CIPHER_CTX *c;
    unsigned char iv[16] = {1};
    int length;

    (void)s;
    if (!c && !(c = cipher_context(EVP_aes_256_cbc())))
        return 1;
    return !(EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv) && EVP_EncryptUpdate(c, out, &length, in, (int)size) &&
             EVP_EncryptFinal_ex(c, out + length, &length));
}

CK_RV raw_hmac(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char key[32] = {7};
    unsigned length = 32;

    (void)s;
    return !HMAC(EVP_sha256(), key, 32, in, size, out, &length);
}

CK_RV raw_digest(CK_SESSION_HANDLE s, size_t size) { (void)s; return !EVP_Digest(in, size, out, NULL, EVP_sha256(), NULL); }
CK_RV raw_random(CK_SESSION_HANDLE s, size_t size) { (void)s; return RAND_bytes(out, (int)size) != 1; }

static CK_RV raw_rsa_sign(size_t size, int padding)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *k;
    size_t length = PIECE;
    CK_RV rv = !(EVP_DigestSignInit(c, &k, EVP_sha256(), NULL, raw_rsa) > 0 && EVP_PKEY_CTX_set_rsa_padding(k, padding) > 0 &&
                 EVP_DigestSign(c, out, &length, in, size) > 0);

    EVP_MD_CTX_free(c);
    return rv;
}

CK_RV raw_rsa_pkcs(CK_SESSION_HANDLE s, size_t size) { (void)s; return raw_rsa_sign(size, RSA_PKCS1_PADDING); }
CK_RV raw_pss(CK_SESSION_HANDLE s, size_t size) { (void)s; return raw_rsa_sign(size, RSA_PKCS1_PSS_PADDING); }

CK_RV raw_ecdsa(CK_SESSION_HANDLE s, size_t size)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(raw_ec, NULL);
    size_t length = PIECE;
    CK_RV rv = !(EVP_PKEY_sign_init(c) > 0 && EVP_PKEY_sign(c, out, &length, in, size) > 0);

    (void)s;
    EVP_PKEY_CTX_free(c);
    return rv;
}

int raw_make_keys(void)
{
    raw_rsa = EVP_RSA_gen(2048);
    raw_ec = EVP_EC_gen("P-256");
    return raw_rsa && raw_ec;
}
