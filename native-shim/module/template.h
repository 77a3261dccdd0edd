/*
 * Packs a caller's CK_ATTRIBUTE array for the frame, and finds what the module itself must know about it.
 */
#ifndef SIDEKEY_MODULE_TEMPLATE_H
#define SIDEKEY_MODULE_TEMPLATE_H

#include "cryptoki3.h"

#include "../wire/template.h"

/* Which attributes of a template are written. */
enum sk_part { SK_PART_ALL, SK_PART_PUBLIC, SK_PART_MATERIAL };

/* CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_VALUE_INVALID, or CKR_TEMPLATE_INCONSISTENT when it is longer or deeper than any
 * template may be. */
CK_RV sk_template_write(struct wire_writer *w, const CK_ATTRIBUTE *attributes, CK_ULONG count, enum sk_part part);

/* CKR_ARGUMENTS_BAD or CKR_TEMPLATE_INCONSISTENT: the array must not be read. */
CK_RV sk_template_check(const CK_ATTRIBUTE *attributes, CK_ULONG count);

/* How many bytes that takes, at most. */
size_t sk_template_room(const CK_ATTRIBUTE *attributes, CK_ULONG count);

/* Whether the value of the attribute is itself an array of CK_ATTRIBUTE. */
bool sk_attribute_is_nested(CK_ATTRIBUTE_TYPE type);

/* Whether the template makes a token object: CKA_TOKEN is there and true. */
bool sk_template_is_token(const CK_ATTRIBUTE *attributes, CK_ULONG count);

#endif
