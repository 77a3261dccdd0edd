/* The rows as a program with PKCS#11 has them. */
#include "bench.h"

#include <stdio.h>

static CK_RV encrypt(CK_SESSION_HANDLE s, CK_MECHANISM *m, size_t size)
{
    CK_ULONG length = PIECE + 64;
    CK_RV rv = p11->C_EncryptInit(s, m, aes);

    return rv ? rv : p11->C_Encrypt(s, in, size, out, &length);
}

CK_RV do_gcm(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char iv[12] = {1};
    CK_GCM_PARAMS p = {iv, 12, 96, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &p, sizeof(p)};

    return encrypt(s, &m, size);
}

CK_RV do_gcm_long(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char iv[12] = {1};
    CK_GCM_PARAMS p = {iv, 12, 96, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &p, sizeof(p)};
    CK_ULONG length;
    CK_RV rv = p11->C_EncryptInit(s, &m, aes);

    for (size_t at = 0; !rv && at < size; at += PIECE) {
        length = PIECE + 64;
        rv = p11->C_EncryptUpdate(s, in, PIECE, out, &length);
    }
    length = PIECE + 64;
    return rv ? rv : p11->C_EncryptFinal(s, out, &length);
}

CK_RV do_cbc(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char iv[16] = {1};
    CK_MECHANISM m = {CKM_AES_CBC_PAD, iv, 16};

    return encrypt(s, &m, size);
}

static CK_RV sign(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, size_t size)
{
    CK_ULONG length = PIECE;
    CK_RV rv = p11->C_SignInit(s, m, key);

    return rv ? rv : p11->C_Sign(s, in, size, out, &length);
}

CK_RV do_hmac(CK_SESSION_HANDLE s, size_t size) { return sign(s, &(CK_MECHANISM){CKM_SHA256_HMAC, NULL, 0}, mac, size); }
CK_RV do_ecdsa(CK_SESSION_HANDLE s, size_t size) { return sign(s, &(CK_MECHANISM){CKM_ECDSA, NULL, 0}, ec_private, size); }
CK_RV do_rsa(CK_SESSION_HANDLE s, size_t size) { return sign(s, &(CK_MECHANISM){CKM_SHA256_RSA_PKCS, NULL, 0}, rsa_private, size); }

CK_RV do_pss(CK_SESSION_HANDLE s, size_t size)
{
    CK_RSA_PKCS_PSS_PARAMS p = {CKM_SHA256, CKG_MGF1_SHA256, 32};

    return sign(s, &(CK_MECHANISM){CKM_SHA256_RSA_PKCS_PSS, &p, sizeof(p)}, rsa_private, size);
}

CK_RV do_digest(CK_SESSION_HANDLE s, size_t size)
{
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_ULONG length = PIECE;
    CK_RV rv = p11->C_DigestInit(s, &m);

    return rv ? rv : p11->C_Digest(s, in, size, out, &length);
}

CK_RV do_random(CK_SESSION_HANDLE s, size_t size) { return p11->C_GenerateRandom(s, out, size); }

CK_RV do_session(CK_SESSION_HANDLE s, size_t size)
{
    CK_SESSION_HANDLE h;
    CK_RV rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &h);

    (void)s, (void)size;
    return rv ? rv : p11->C_CloseSession(h);
}

CK_RV do_find(CK_SESSION_HANDLE s, size_t size)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, "bench-aes", 9}};
    CK_OBJECT_HANDLE found[8];
    CK_ULONG count = 0;
    CK_RV rv = p11->C_FindObjectsInit(s, t, 2);

    (void)size;
    if (rv)
        return rv;
    rv = p11->C_FindObjects(s, found, 8, &count);
    p11->C_FindObjectsFinal(s);
    return rv ? rv : (count ? CKR_OK : CKR_GENERAL_ERROR);
}

/* A label that nobody asked for before, so that no answer to it can have been kept: the token has to look. */
CK_RV do_find_new(CK_SESSION_HANDLE s, size_t size)
{
    static _Atomic unsigned asked;
    CK_OBJECT_CLASS class = CKO_DATA;
    char label[32];
    int length = snprintf(label, sizeof(label), "absent %u", asked++);
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, label, (CK_ULONG)length}};
    CK_OBJECT_HANDLE found[8];
    CK_ULONG count = 0;
    CK_RV rv = p11->C_FindObjectsInit(s, t, 2);

    (void)size;
    if (rv)
        return rv;
    rv = p11->C_FindObjects(s, found, 8, &count);
    p11->C_FindObjectsFinal(s);
    return rv ? rv : (count ? CKR_GENERAL_ERROR : CKR_OK);
}

CK_RV do_attributes(CK_SESSION_HANDLE s, size_t size)
{
    CK_ULONG class, type;
    CK_BBOOL token, encrypts;
    char label[64];
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)}, {CKA_TOKEN, &token, 1},
                        {CKA_ENCRYPT, &encrypts, 1}, {CKA_LABEL, label, sizeof(label)}};

    (void)size;
    return p11->C_GetAttributeValue(s, aes, t, 5);
}
