#include "digest_key.h"

#include "crypt.h"
#include "object.h"

#include <stdlib.h>

/* The class and value of a key, in the caller's room. */
static CK_RV read_key(struct sk_entry *e, CK_OBJECT_HANDLE key, CK_BYTE *value, CK_ULONG *length)
{
    CK_OBJECT_CLASS object_class = 0;
    CK_ATTRIBUTE of_class = {CKA_CLASS, &object_class, sizeof(object_class)}, of_value = {CKA_VALUE, value, *length};
    CK_RV rv = sk_object_get(e, key, &of_class, 1);

    if (rv == CKR_OBJECT_HANDLE_INVALID)
        return CKR_KEY_HANDLE_INVALID;
    if (rv == CKR_OK && object_class < CKO_PUBLIC_KEY)
        return CKR_KEY_HANDLE_INVALID;
    if (rv == CKR_OK && object_class != CKO_SECRET_KEY)
        return CKR_KEY_INDIGESTIBLE;
    if (rv == CKR_OK)
        rv = sk_object_get(e, key, &of_value, 1);
    *length = of_value.ulValueLen;
    return rv == CKR_ATTRIBUTE_SENSITIVE ? CKR_KEY_INDIGESTIBLE : rv;
}

CK_RV sk_digest_key(struct sk_entry *e, CK_OBJECT_HANDLE key)
{
    CK_ULONG length = WIRE_COMPONENT_MAX;
    CK_BYTE *value;
    CK_RV rv;

    if (!sk_crypt_is_active(e->session, WIRE_DIGEST))
        return CKR_OPERATION_NOT_INITIALIZED;
    value = malloc(WIRE_COMPONENT_MAX);
    rv = value ? read_key(e, key, value, &length) : CKR_HOST_MEMORY;
    if (rv == CKR_OK) {
        sk_crypt_keyed(e->session);
        rv = sk_crypt_update(e, WIRE_DIGEST, value, length, NULL, NULL);
    }
    if (value)
        wire_wipe(value, WIRE_COMPONENT_MAX);
    free(value);
    return rv;
}
