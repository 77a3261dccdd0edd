#include "object.h"

#include "former.h"
#include "reply.h"

enum { HEAD_ROOM = 64 };

void sk_object_made(const struct sk_entry *e, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    if (!sk_template_is_token(attributes, count))
        atomic_store(&e->session->has_objects, true);
}

CK_RV sk_object_make(struct sk_call *c, const CK_ATTRIBUTE *attributes, CK_ULONG count, enum sk_part part, CK_OBJECT_HANDLE *out)
{
    const struct sk_entry *e = c->entry;
    CK_RV rv = sk_template_write(&c->w, attributes, count, part);

    if (rv != CKR_OK) {
        sk_call_end(c);
        return rv;
    }
    rv = sk_call_handle(c, out);
    if (rv == CKR_OK)
        sk_object_made(e, attributes, count);
    return rv;
}

CK_RV sk_object_create(struct sk_entry *e, const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_call c;
    size_t material;
    CK_RV rv;

    if (!out)
        return CKR_ARGUMENTS_BAD;
    sk_call_begin(&c, e, WIRE_create, HEAD_ROOM + sk_template_room(attributes, count));
    material = wire_begin_bytes(&c.w);
    rv = sk_template_write(&c.w, attributes, count, SK_PART_MATERIAL);
    wire_end_bytes(&c.w, material);
    if (rv == CKR_OK && wire_written(&c.w) > WIRE_MATERIAL_MAX)
        rv = CKR_KEY_SIZE_RANGE; /* the keeper would take it for a broken frame */
    sk_call_place(&c);
    if (rv == CKR_OK)
        return sk_object_make(&c, attributes, count, SK_PART_PUBLIC, out);
    sk_call_end(&c);
    return rv;
}

/* place, handle, template: the whole of copy and set_attributes. False: the call was ended. */
static CK_RV begin_change(struct sk_call *c, struct sk_entry *e, enum wire_message type, CK_OBJECT_HANDLE object,
                          const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    CK_RV rv;

    sk_call_begin(c, e, type, HEAD_ROOM + sk_template_room(attributes, count));
    sk_call_place(c);
    wire_write_u64(&c->w, sk_former_check(e, object));
    rv = sk_template_write(&c->w, attributes, count, SK_PART_ALL);
    if (rv != CKR_OK)
        sk_call_end(c);
    return rv;
}

CK_RV sk_object_copy(struct sk_entry *e, CK_OBJECT_HANDLE from, const CK_ATTRIBUTE *attributes, CK_ULONG count,
                     CK_OBJECT_HANDLE *out)
{
    struct sk_call c;
    CK_RV rv;

    if (!out)
        return CKR_ARGUMENTS_BAD;
    rv = begin_change(&c, e, WIRE_copy, from, attributes, count);
    if (rv != CKR_OK)
        return rv;
    rv = sk_call_handle(&c, out);
    if (rv == CKR_OK)
        sk_object_made(e, attributes, count);
    return rv;
}

CK_RV sk_object_set(struct sk_entry *e, CK_OBJECT_HANDLE object, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct sk_call c;
    CK_RV rv = begin_change(&c, e, WIRE_set_attributes, object, attributes, count);

    return rv == CKR_OK ? sk_call_simple(&c) : rv;
}

CK_RV sk_object_destroy(struct sk_entry *e, CK_OBJECT_HANDLE object)
{
    struct sk_call c;
    CK_RV rv;

    sk_call_begin(&c, e, WIRE_destroy, HEAD_ROOM);
    sk_call_place(&c);
    wire_write_u64(&c.w, sk_former_check(e, object));
    rv = sk_call_simple(&c);
    if (rv == CKR_OK)
        sk_former_gone(e, object);
    return rv;
}

CK_RV sk_object_size(struct sk_entry *e, CK_OBJECT_HANDLE object, CK_ULONG *bytes)
{
    struct sk_call c;

    if (!bytes)
        return CKR_ARGUMENTS_BAD;
    sk_call_begin(&c, e, WIRE_object_size, HEAD_ROOM);
    sk_call_place(&c);
    wire_write_u64(&c.w, sk_former_check(e, object));
    return sk_call_number(&c, bytes);
}

/* At most WIRE_ATTRIBUTES_MAX of them. `found` is what the attributes say, the result whether they could be asked. */
static CK_RV get_some(struct sk_entry *e, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, uint32_t count,
                      CK_RV *found)
{
    struct sk_call c;
    CK_RV rv;

    sk_call_begin(&c, e, WIRE_get_attributes, HEAD_ROOM + 8 * (size_t)count);
    sk_call_place(&c);
    wire_write_u64(&c.w, sk_former_check(e, object));
    wire_write_u32(&c.w, count);
    for (uint32_t i = 0; i < count; i++)
        wire_write_u64(&c.w, attributes[i].type);
    rv = sk_call_run_kept(&c);
    if (rv == CKR_OK) {
        CK_RV seen = sk_reply_attributes(&c.r, attributes, count);

        *found = *found == CKR_OK ? seen : *found;
        rv = sk_call_finish(&c);
    }
    sk_call_end(&c);
    return rv;
}

CK_RV sk_object_get(struct sk_entry *e, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    CK_RV found = CKR_OK, rv = CKR_OK;
    CK_ULONG at = 0;

    if (!attributes && count)
        return CKR_ARGUMENTS_BAD;
    do {
        CK_ULONG some = count - at < WIRE_ATTRIBUTES_MAX ? count - at : WIRE_ATTRIBUTES_MAX;

        rv = get_some(e, object, attributes ? &attributes[at] : NULL, (uint32_t)some, &found);
        at += some;
    } while (rv == CKR_OK && at < count);
    return rv == CKR_OK ? found : rv;
}
