/*
 * What PKCS#11 3.2 adds to the interface: the functions at the end of its list, in the order of the standard's pkcs11f.h (PKCS#11 3.2,
 * 5.4, 5.15, 5.18, 5.21).
 */
#ifndef SIDEKEY_MODULE_CRYPTOKI32_H
#define SIDEKEY_MODULE_CRYPTOKI32_H

#include "cryptoki3.h"

typedef CK_ULONG CK_SESSION_VALIDATION_FLAGS_TYPE;

/* C_GetInfo of the later lists. */
CK_RV sk_get_info_3_0(CK_INFO *info);
CK_RV sk_get_info_3_2(CK_INFO *info);

CK_RV C_EncapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE to, CK_ATTRIBUTE *attributes,
                       CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG *ciphertext_len, CK_OBJECT_HANDLE *out);
CK_RV C_DecapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_ATTRIBUTE *attributes,
                       CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG ciphertext_len, CK_OBJECT_HANDLE *out);
CK_RV C_VerifySignatureInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_BYTE *signature,
                            CK_ULONG signature_len);
CK_RV C_VerifySignature(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length);
CK_RV C_VerifySignatureUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length);
CK_RV C_VerifySignatureFinal(CK_SESSION_HANDLE session);
CK_RV C_GetSessionValidationFlags(CK_SESSION_HANDLE session, CK_SESSION_VALIDATION_FLAGS_TYPE type, CK_FLAGS *flags);
CK_RV C_AsyncComplete(CK_SESSION_HANDLE session, CK_UTF8CHAR *function, void *result);
CK_RV C_AsyncGetID(CK_SESSION_HANDLE session, CK_UTF8CHAR *function, CK_ULONG *id);
CK_RV C_AsyncJoin(CK_SESSION_HANDLE session, CK_UTF8CHAR *function, CK_ULONG id, CK_BYTE *data, CK_ULONG length);
CK_RV C_WrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key,
                             CK_BYTE *associated, CK_ULONG associated_len, CK_BYTE *wrapped, CK_ULONG *wrapped_len);
CK_RV C_UnwrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_BYTE *wrapped,
                               CK_ULONG wrapped_len, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_BYTE *associated,
                               CK_ULONG associated_len, CK_OBJECT_HANDLE *out);

/* The 3.0 list is a prefix of the 3.2 list, as that of 2.40 is one of the 3.0 list. */
typedef struct ck_function_list_3_2 {
    CK_FUNCTION_LIST_3_0 base;
    CK_RV (*C_EncapsulateKey)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE, CK_ATTRIBUTE *, CK_ULONG, CK_BYTE *,
                              CK_ULONG *, CK_OBJECT_HANDLE *);
    CK_RV (*C_DecapsulateKey)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE, CK_ATTRIBUTE *, CK_ULONG, CK_BYTE *,
                              CK_ULONG, CK_OBJECT_HANDLE *);
    CK_RV (*C_VerifySignatureInit)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE, CK_BYTE *, CK_ULONG);
    CK_RV (*C_VerifySignature)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG);
    CK_RV (*C_VerifySignatureUpdate)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG);
    CK_RV (*C_VerifySignatureFinal)(CK_SESSION_HANDLE);
    CK_RV (*C_GetSessionValidationFlags)(CK_SESSION_HANDLE, CK_SESSION_VALIDATION_FLAGS_TYPE, CK_FLAGS *);
    CK_RV (*C_AsyncComplete)(CK_SESSION_HANDLE, CK_UTF8CHAR *, void *);
    CK_RV (*C_AsyncGetID)(CK_SESSION_HANDLE, CK_UTF8CHAR *, CK_ULONG *);
    CK_RV (*C_AsyncJoin)(CK_SESSION_HANDLE, CK_UTF8CHAR *, CK_ULONG, CK_BYTE *, CK_ULONG);
    CK_RV (*C_WrapKeyAuthenticated)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE, CK_BYTE *,
                                    CK_ULONG, CK_BYTE *, CK_ULONG *);
    CK_RV (*C_UnwrapKeyAuthenticated)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE, CK_BYTE *, CK_ULONG,
                                      CK_ATTRIBUTE *, CK_ULONG, CK_BYTE *, CK_ULONG, CK_OBJECT_HANDLE *);
} CK_FUNCTION_LIST_3_2;

#endif
