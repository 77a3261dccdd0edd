/*
 * Message-based encryption and decryption (PKCS#11 3.1, 5.9 and 5.11) with AES-GCM, each message at once. An initial value is the
 * caller's, or made here of the kernel's randomness: at least 96 random bits (NIST SP 800-38D, 8.2.2).
 */
#ifndef SIDEKEY_MODULE_MESSAGE_H
#define SIDEKEY_MODULE_MESSAGE_H

#include "guard.h"

/* `m` NULL ends it (C_MessageEncryptInit). Checks that the key may be used so. */
CK_RV sk_message_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key);
CK_RV sk_message_close(struct sk_entry *e, enum wire_operation kind);

/* One message. The tag stands in the parameter: written when encrypting, read when decrypting. */
CK_RV sk_message_run(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len,
                     struct wire_bytes aad, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len);

#endif
