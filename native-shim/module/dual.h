/*
 * The four functions that run two operations of a session over the same data (PKCS#11 3.1, 5.16). NULL asks for the length and
 * does nothing; after CKR_BUFFER_TOO_SMALL the same call comes again, and the other operation sees its data once.
 */
#ifndef SIDEKEY_MODULE_DUAL_H
#define SIDEKEY_MODULE_DUAL_H

#include "guard.h"

/* Encrypts, and gives what went in to `other` (digest or sign). */
CK_RV sk_dual_encrypt(struct sk_entry *e, enum wire_operation other, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len);

/* Decrypts, and gives what came out to `other` (digest or verify). */
CK_RV sk_dual_decrypt(struct sk_entry *e, enum wire_operation other, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len);

#endif
