/*
 * Messages that are signed or verified: by every mechanism that signs, each message with the mechanism's parameter as C_MessageXInit
 * was given it. No mechanism has a parameter of a single message.
 */
#ifndef SIDEKEY_MODULE_MESSAGE_SIGN_H
#define SIDEKEY_MODULE_MESSAGE_SIGN_H

#include "guard.h"

/* `m` NULL ends it. */
CK_RV sk_signing_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key);

CK_RV sk_signing_begin(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len);

/* One message at once, or in parts (`begun`), of which the last has a length or a signature. */
CK_RV sk_signing_sign(struct sk_entry *e, const void *parameter, CK_ULONG parameter_len, struct wire_bytes in, CK_BYTE *out,
                      CK_ULONG *out_len, bool begun);
CK_RV sk_signing_verify(struct sk_entry *e, const void *parameter, CK_ULONG parameter_len, struct wire_bytes in,
                        struct wire_bytes signature, bool begun);

#endif
