/*
 * C_WrapKeyAuthenticated and C_UnwrapKeyAuthenticated (PKCS#11 3.2, 5.18.6), with the mechanisms that messages have: the initial value may be made here,
 * and the tag stands in the parameter, not after the wrapped key.
 */
#ifndef SIDEKEY_MODULE_WRAP_AUTHENTICATED_H
#define SIDEKEY_MODULE_WRAP_AUTHENTICATED_H

#include "guard.h"

CK_RV sk_wrap_authenticated(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key,
                            struct wire_bytes associated, CK_BYTE *out, CK_ULONG *out_len);
CK_RV sk_unwrap_authenticated(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, struct wire_bytes wrapped,
                              const CK_ATTRIBUTE *attributes, CK_ULONG count, struct wire_bytes associated,
                              CK_OBJECT_HANDLE *out);

#endif
