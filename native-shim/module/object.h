/*
 * Objects: create, copy, destroy, and their attributes. Keys that are generated, unwrapped or derived: key.h.
 */
#ifndef SIDEKEY_MODULE_OBJECT_H
#define SIDEKEY_MODULE_OBJECT_H

#include "call.h"
#include "template.h"

CK_RV sk_object_create(struct sk_entry *e, const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out);
CK_RV sk_object_copy(struct sk_entry *e, CK_OBJECT_HANDLE from, const CK_ATTRIBUTE *attributes, CK_ULONG count,
                     CK_OBJECT_HANDLE *out);
CK_RV sk_object_destroy(struct sk_entry *e, CK_OBJECT_HANDLE object);
CK_RV sk_object_size(struct sk_entry *e, CK_OBJECT_HANDLE object, CK_ULONG *bytes);
CK_RV sk_object_get(struct sk_entry *e, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count);
CK_RV sk_object_set(struct sk_entry *e, CK_OBJECT_HANDLE object, const CK_ATTRIBUTE *attributes, CK_ULONG count);

/* After an object was created: notes whether the session now has session objects, which end with it. */
void sk_object_made(const struct sk_entry *e, const CK_ATTRIBUTE *attributes, CK_ULONG count);

/* The end of every request that makes one object: its template (that part of it) and the request itself, whose answer is a handle. Ends
 * the call. */
CK_RV sk_object_make(struct sk_call *c, const CK_ATTRIBUTE *attributes, CK_ULONG count, enum sk_part part, CK_OBJECT_HANDLE *out);

#endif
