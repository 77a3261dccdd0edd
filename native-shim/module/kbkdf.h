/*
 * Derivations by SP 800-108 (PKCS#11 3.1, 6.42), which may make further keys beside the first: each is a derivation of its own, and
 * what was made before one that failed is destroyed.
 */
#ifndef SIDEKEY_MODULE_KBKDF_H
#define SIDEKEY_MODULE_KBKDF_H

#include "guard.h"
#include "mechanism_read.h"

/* CK_DERIVED_KEY */
struct sk_derived_key {
    CK_ATTRIBUTE *attributes;
    CK_ULONG count;
    CK_OBJECT_HANDLE *out;
};

/* The further keys that a parameter asks for; false when it is not of this kind. */
bool sk_kbkdf_keys(const CK_MECHANISM *m, struct sk_derived_key **keys, CK_ULONG *count);

/* The first key and all others. */
CK_RV sk_kbkdf(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
               CK_ULONG count, CK_OBJECT_HANDLE *out);

#endif
