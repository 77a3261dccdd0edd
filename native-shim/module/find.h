/*
 * Find cursors: a template and the last handle that was seen. Pages are fetched as the application asks for them.
 */
#ifndef SIDEKEY_MODULE_FIND_H
#define SIDEKEY_MODULE_FIND_H

#include "cryptoki3.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sk_find {
    bool active, busy, more;
    uint8_t *template; /* packed; owned */
    size_t template_length;
    uint64_t *handles; /* a page; owned */
    uint32_t count, at;
    uint64_t after;
};

struct sk_entry;

void sk_find_clear(struct sk_find *f);
CK_RV sk_find_init(struct sk_entry *e, const CK_ATTRIBUTE *attributes, CK_ULONG count);
CK_RV sk_find_next(struct sk_entry *e, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *count);
CK_RV sk_find_final(struct sk_entry *e);

#endif
