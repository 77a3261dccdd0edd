/*
 * Keys that are generated, wrapped, unwrapped and derived.
 */
#ifndef SIDEKEY_MODULE_KEY_H
#define SIDEKEY_MODULE_KEY_H

#include "call.h"
#include "mechanism.h"

CK_RV sk_key_generate(struct sk_entry *e, const CK_MECHANISM *m, const CK_ATTRIBUTE *attributes, CK_ULONG count,
                      CK_OBJECT_HANDLE *out);
CK_RV sk_key_generate_pair(struct sk_entry *e, const CK_MECHANISM *m, const CK_ATTRIBUTE *public_attributes,
                           CK_ULONG public_count, const CK_ATTRIBUTE *private_attributes, CK_ULONG private_count,
                           CK_OBJECT_HANDLE *public_out, CK_OBJECT_HANDLE *private_out);
CK_RV sk_key_wrap(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key, CK_BYTE *out,
                  CK_ULONG *out_len);
CK_RV sk_key_unwrap(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, const CK_BYTE *wrapped,
                    CK_ULONG wrapped_len, const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out);
CK_RV sk_key_derive(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
                    CK_ULONG count, CK_OBJECT_HANDLE *out);

/* How these requests begin: with place and mechanism, for one of CAN_, and room for `more` bytes. When it fails there is nothing to
 * end. */
CK_RV sk_key_begin(struct sk_call *c, const struct sk_entry *e, enum wire_message type, const CK_MECHANISM *m, uint32_t can,
                   size_t more);

/* sk_key_derive with a parameter that is packed already. */
CK_RV sk_key_derive_packed(struct sk_entry *e, const struct sk_mechanism *packed, CK_OBJECT_HANDLE base,
                           const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out);

#endif
