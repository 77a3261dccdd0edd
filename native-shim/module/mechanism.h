/*
 * A caller's CK_MECHANISM, checked and packed as it travels (wire/params.h). The caller's structures are copied once
 * and may be unaligned. The pointers in them have to be trusted, as everywhere in PKCS#11.
 */
#ifndef SIDEKEY_MODULE_MECHANISM_H
#define SIDEKEY_MODULE_MECHANISM_H

#include "cryptoki3.h"

#include "../wire/buffer.h"
#include "../wire/mechanism.h"
#include "../wire/params.h"

enum { SK_PARAMS_NEAR = 64 };

struct sk_mechanism {
    const struct wire_mechanism *row;
    uint8_t *far; /* the parameter where it does not fit into `near`: owned. Nothing points into the structure, which is copied */
    size_t length;
    uint32_t tag_bytes; /* of an authenticated encryption, else 0 */
    uint64_t shape;     /* equal for two parameters that differ in nothing but an initial value or associated data */
    uint8_t near[SK_PARAMS_NEAR]; /* for those that fit: most */
};

/* The packed parameter, of `length` bytes; valid as long as `m` is and until it is cleared. */
static inline uint8_t *sk_mechanism_params(const struct sk_mechanism *m)
{
    return m->far ? m->far : (uint8_t *)(uintptr_t)m->near;
}

/* The other key that a well-formed parameter of a derivation names; 0: none. */
uint64_t sk_mechanism_other_key(const CK_MECHANISM *from);

/* The password in a parameter of CKM_PKCS5_PBKD2, which is not packed with it: a view. */
bool sk_mechanism_password(const CK_MECHANISM *from, struct wire_bytes *out);

/* `can`: one of CAN_. CKR_ARGUMENTS_BAD, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID or CKR_HOST_MEMORY. */
CK_RV sk_mechanism_pack(const CK_MECHANISM *from, uint32_t can, struct sk_mechanism *out);
/* Wipes and frees; may be called twice. */
void sk_mechanism_clear(struct sk_mechanism *m);

/* False: out of memory, and nothing to clear. */
bool sk_mechanism_copy(const struct sk_mechanism *from, struct sk_mechanism *out);

void sk_mechanism_write(struct wire_writer *w, const struct sk_mechanism *m);

#endif
