#include "template.h"

#include <string.h>

enum { ATTRIBUTE_HEAD = 12, TEMPLATE_HEAD = 4 };

bool sk_attribute_is_nested(CK_ATTRIBUTE_TYPE type)
{
    return type == CKA_WRAP_TEMPLATE || type == CKA_UNWRAP_TEMPLATE || type == CKA_DERIVE_TEMPLATE ||
           type == CKA_ENCAPSULATE_TEMPLATE || type == CKA_DECAPSULATE_TEMPLATE;
}

/* A count that no template may have is refused before anything is read: behind a wrong one there may be no memory. */
static bool is_readable(const CK_ATTRIBUTE *attributes, CK_ULONG count) { return attributes && count <= WIRE_ATTRIBUTES_MAX; }

CK_RV sk_template_check(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    if (count && !attributes)
        return CKR_ARGUMENTS_BAD;
    return count > WIRE_ATTRIBUTES_MAX ? CKR_TEMPLATE_INCONSISTENT : CKR_OK;
}

static const CK_ATTRIBUTE *find(const CK_ATTRIBUTE *a, CK_ULONG count, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; is_readable(a, count) && i < count; i++)
        if (a[i].type == type && a[i].pValue)
            return &a[i];
    return NULL;
}

bool sk_template_is_token(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    const CK_ATTRIBUTE *a = find(attributes, count, CKA_TOKEN);

    return a && a->ulValueLen == sizeof(CK_BBOOL) && *(const CK_BBOOL *)a->pValue != CK_FALSE;
}

static CK_ULONG class_of(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    const CK_ATTRIBUTE *a = find(attributes, count, CKA_CLASS);
    CK_ULONG object_class = ~0UL;

    if (a && a->ulValueLen == sizeof(object_class))
        memcpy(&object_class, a->pValue, sizeof(object_class));
    return object_class;
}

static CK_RV check_one(const CK_ATTRIBUTE *a)
{
    if (a->ulValueLen > WIRE_DATA_MAX || (!a->pValue && a->ulValueLen))
        return CKR_ATTRIBUTE_VALUE_INVALID;
    if (sk_attribute_is_nested(a->type) && a->ulValueLen % sizeof(CK_ATTRIBUTE))
        return CKR_ATTRIBUTE_VALUE_INVALID;
    return CKR_OK;
}

static CK_RV write_inner(struct wire_writer *w, const CK_ATTRIBUTE *a)
{
    const CK_ATTRIBUTE *inner = a->pValue;
    const CK_ULONG count = a->ulValueLen / sizeof(*inner);
    size_t value, template;

    if (count > WIRE_ATTRIBUTES_MAX)
        return CKR_TEMPLATE_INCONSISTENT;
    wire_write_u64(w, a->type);
    value = wire_begin_bytes(w);
    template = wire_begin_template(w);
    for (CK_ULONG i = 0; i < count; i++) {
        if (sk_attribute_is_nested(inner[i].type))
            return CKR_TEMPLATE_INCONSISTENT;
        if (check_one(&inner[i]) != CKR_OK)
            return CKR_ATTRIBUTE_VALUE_INVALID;
        wire_write_attribute(w, inner[i].type, inner[i].pValue, inner[i].ulValueLen);
    }
    wire_end_template(w, template, (uint32_t)count);
    wire_end_bytes(w, value);
    return CKR_OK;
}

static CK_RV write_one(struct wire_writer *w, const CK_ATTRIBUTE *a)
{
    CK_RV rv = check_one(a);

    if (rv != CKR_OK)
        return rv;
    if (sk_attribute_is_nested(a->type))
        return write_inner(w, a);
    wire_write_attribute(w, a->type, a->pValue, a->ulValueLen);
    return CKR_OK;
}

CK_RV sk_template_write(struct wire_writer *w, const CK_ATTRIBUTE *attributes, CK_ULONG count, enum sk_part part)
{
    const CK_ULONG object_class = class_of(attributes, count);
    size_t mark = wire_begin_template(w);
    uint32_t written = 0;
    CK_RV rv = sk_template_check(attributes, count);

    for (CK_ULONG i = 0; i < count && rv == CKR_OK; i++) {
        bool material = wire_attribute_is_material(object_class, attributes[i].type);

        if (part == SK_PART_ALL || material == (part == SK_PART_MATERIAL)) {
            rv = write_one(w, &attributes[i]);
            written++;
        }
    }
    wire_end_template(w, mark, written);
    return rv;
}

static size_t room_flat(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    size_t room = TEMPLATE_HEAD;

    for (CK_ULONG i = 0; is_readable(attributes, count) && i < count; i++)
        if (attributes[i].ulValueLen <= WIRE_DATA_MAX) /* write refuses the others */
            room += ATTRIBUTE_HEAD + attributes[i].ulValueLen;
    return room;
}

size_t sk_template_room(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    size_t room = room_flat(attributes, count);

    for (CK_ULONG i = 0; is_readable(attributes, count) && i < count; i++)
        if (sk_attribute_is_nested(attributes[i].type) && attributes[i].ulValueLen <= WIRE_DATA_MAX)
            room += room_flat(attributes[i].pValue, attributes[i].ulValueLen / sizeof(CK_ATTRIBUTE));
    return room;
}
