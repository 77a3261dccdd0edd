/*
 * Objects: made, copied, destroyed, read, changed, found.
 */
#include "find.h"
#include "guard.h"
#include "object.h"

CK_RV C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_CreateObject", session);

    if (rv == CKR_OK)
        rv = sk_object_create(&e, attributes, count, object);
    return sk_leave(&e, rv);
}

CK_RV C_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count,
                   CK_OBJECT_HANDLE *copy)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_CopyObject", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_copy(&e, object, attributes, count, copy);
    return sk_leave(&e, rv);
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DestroyObject", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_destroy(&e, object);
    return sk_leave(&e, rv);
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *bytes)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GetObjectSize", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_size(&e, object, bytes);
    return sk_leave(&e, rv);
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
                          CK_ULONG count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GetAttributeValue", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_get(&e, object, attributes, count);
    return sk_leave(&e, rv);
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
                          CK_ULONG count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SetAttributeValue", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_set(&e, object, attributes, count);
    return sk_leave(&e, rv);
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_FindObjectsInit", session);

    if (rv == CKR_OK)
        rv = sk_find_init(&e, attributes, count);
    return sk_leave(&e, rv);
}

CK_RV C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_FindObjects", session);

    e.out = count;
    if (rv == CKR_OK)
        rv = sk_find_next(&e, objects, max, count);
    return sk_leave(&e, rv);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_FindObjectsFinal", session);

    if (rv == CKR_OK)
        rv = sk_find_final(&e);
    return sk_leave(&e, rv);
}
