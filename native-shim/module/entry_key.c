/* The functions of the API that make and wrap keys, and those of randomness: thin entries to key.c and random.c. */
#include "key.h"
#include "random.h"
#include "slot.h"

/* Keys */

/* A mechanism that the token does not offer is what is wrong, whatever its parameter. */
static CK_RV leave(struct sk_entry *e, const CK_MECHANISM *m, CK_RV rv)
{
    CK_MECHANISM_INFO info;

    if (rv == CKR_MECHANISM_PARAM_INVALID && sk_mechanism_info(e, e->session->slot, m->mechanism, &info) == CKR_MECHANISM_INVALID)
        rv = CKR_MECHANISM_INVALID;
    return sk_leave(e, rv);
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_ATTRIBUTE *attributes, CK_ULONG count,
                    CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GenerateKey", session);

    sk_note_mechanism(&e, m);
    if (rv == CKR_OK)
        rv = sk_key_generate(&e, m, attributes, count, out);
    return leave(&e, m, rv);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_ATTRIBUTE *public_attributes,
                        CK_ULONG public_count, CK_ATTRIBUTE *private_attributes, CK_ULONG private_count,
                        CK_OBJECT_HANDLE *public_out, CK_OBJECT_HANDLE *private_out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GenerateKeyPair", session);

    sk_note_mechanism(&e, m);
    if (rv == CKR_OK)
        rv = sk_key_generate_pair(&e, m, public_attributes, public_count, private_attributes, private_count,
                                  public_out, private_out);
    return leave(&e, m, rv);
}

CK_RV C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key, CK_BYTE *out,
                CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_WrapKey", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    e.out = out_len;
    if (rv == CKR_OK)
        rv = sk_key_wrap(&e, m, by, key, out, out_len);
    return leave(&e, m, rv);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_BYTE *wrapped,
                  CK_ULONG wrapped_len, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_UnwrapKey", session);

    sk_note_mechanism(&e, m);
    e.object = by;
    if (rv == CKR_OK)
        rv = sk_key_unwrap(&e, m, by, wrapped, wrapped_len, attributes, count, out);
    return leave(&e, m, rv);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *attributes,
                  CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DeriveKey", session);

    sk_note_mechanism(&e, m);
    e.object = base;
    if (rv == CKR_OK)
        rv = sk_key_derive(&e, m, base, attributes, count, out);
    return leave(&e, m, rv);
}

/* Randomness */

CK_RV C_SeedRandom(CK_SESSION_HANDLE session, CK_BYTE *seed, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SeedRandom", session);

    if (rv == CKR_OK)
        rv = sk_seed(seed, length);
    return sk_leave(&e, rv);
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GenerateRandom", session);

    if (rv == CKR_OK)
        rv = sk_random(&e, out, length);
    return sk_leave(&e, rv);
}
