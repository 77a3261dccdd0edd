/*
 * Messages of AES-GCM, AES-CCM and ChaCha20-Poly1305. An initial value is the caller's, or made here of the kernel's randomness: at
 * least 96 random bits (NIST SP 800-38D, 8.2.2). The tag stands in the parameter: written when encrypting, read when decrypting. Of a
 * message that is decrypted in parts nothing comes out before its tag was good, of one of AES-CCM nothing before its end: the last part
 * gives all of it.
 */
#ifndef SIDEKEY_MODULE_MESSAGE_AEAD_H
#define SIDEKEY_MODULE_MESSAGE_AEAD_H

#include "guard.h"

/* `m` NULL ends it. Checks that the key may be used so. */
CK_RV sk_aead_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key);

/* One message at once. */
CK_RV sk_aead_run(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                  struct wire_bytes aad, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len);

/* One message in parts. */
CK_RV sk_aead_begin(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                    struct wire_bytes aad);
CK_RV sk_aead_next(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                   struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len, bool last);

#endif
