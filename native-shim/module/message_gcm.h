/*
 * Messages of AES-GCM. An initial value is the caller's, or made here of the kernel's randomness: at least 96 random bits
 * (NIST SP 800-38D, 8.2.2). The tag stands in the parameter: written when encrypting, read when decrypting. Of a message that is
 * decrypted in parts nothing comes out before its tag was good: the last part gives all of it.
 */
#ifndef SIDEKEY_MODULE_MESSAGE_GCM_H
#define SIDEKEY_MODULE_MESSAGE_GCM_H

#include "guard.h"

/* `m` NULL ends it. Checks that the key may be used so. */
CK_RV sk_gcm_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key);

/* One message at once. */
CK_RV sk_gcm_run(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                 struct wire_bytes aad, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len);

/* One message in parts. */
CK_RV sk_gcm_begin(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                   struct wire_bytes aad);
CK_RV sk_gcm_next(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                  struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len, bool last);

#endif
