/* Parameters of PKCS#11 3.2's signatures: CK_SIGN_ADDITIONAL_CONTEXT and CK_HASH_SIGN_ADDITIONAL_CONTEXT (6.67.1). */
#include "mechanism_read.h"

struct sign_context {
    CK_ULONG hedge;
    CK_BYTE *context;
    CK_ULONG context_len;
};

struct hash_sign_context {
    struct sign_context sign;
    CK_MECHANISM_TYPE hash;
};

static bool read_context(const struct sign_context *from, struct wire_params *p)
{
    p->hedge = from->hedge <= CKH_DETERMINISTIC_REQUIRED ? (uint8_t)from->hedge : UINT8_MAX;
    return sk_read_view(&p->aad, from->context, from->context_len);
}

/* Without a parameter: no context, and the token may choose how it is hedged. */
bool sk_read_sign_context(const CK_MECHANISM *m, struct wire_params *p)
{
    struct sign_context from;

    if (m->ulParameterLen == 0)
        return true;
    return sk_read_struct(&from, sizeof(from), m) && read_context(&from, p);
}

bool sk_read_hash_sign_context(const CK_MECHANISM *m, struct wire_params *p)
{
    struct hash_sign_context from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->hash = from.hash;
    return read_context(&from.sign, p);
}
