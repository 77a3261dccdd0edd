/*
 * Keys that two sides share by a key encapsulation mechanism (PKCS#11 3.2, 5.18).
 */
#ifndef SIDEKEY_MODULE_KEM_H
#define SIDEKEY_MODULE_KEM_H

#include "guard.h"

/* Without room for the ciphertext no key is made: `ciphertext` NULL asks how much it takes. */
CK_RV sk_encapsulate(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE to, const CK_ATTRIBUTE *attributes,
                     CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG *ciphertext_len, CK_OBJECT_HANDLE *out);
CK_RV sk_decapsulate(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, const CK_ATTRIBUTE *attributes,
                     CK_ULONG count, const CK_BYTE *ciphertext, CK_ULONG ciphertext_len, CK_OBJECT_HANDLE *out);

#endif
