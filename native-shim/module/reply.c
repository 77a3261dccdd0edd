#include "reply.h"

#include "template.h"

#include <stdlib.h>
#include <string.h>

enum { DESCRIPTION_MAX = 64, SHORT_TEXT = 16, LONG_TEXT = 32 };

void sk_reply_binding(struct wire_reader *r, struct sk_binding *out)
{
    uint8_t rule = wire_read_u8(r);

    out->rule = (enum wire_output_rule)rule;
    out->size = wire_read_u32(r);
    out->key_type = wire_read_u32(r);
    out->key_bits = wire_read_u32(r);
    out->login_needed = wire_read_u8(r) != 0;
    if (rule < WIRE_OUTPUT_FIXED || rule > WIRE_OUTPUT_WRAPPED_PADDED || out->size > WIRE_DATA_MAX)
        r->bad = true;
}

uint32_t sk_reply_count(struct wire_reader *r, uint32_t max)
{
    uint32_t count = wire_read_u32(r);

    if (count <= max)
        return count;
    r->bad = true;
    return 0;
}

void sk_reply_slot(struct wire_reader *r, struct sk_slot *out)
{
    *out = (struct sk_slot){.id = wire_read_u64(r)};
    out->description = wire_read_bytes(r, DESCRIPTION_MAX);
    out->present = wire_read_u8(r) != 0;
    if (!out->present)
        return;
    out->flags = wire_read_u64(r);
    out->label = wire_read_bytes(r, LONG_TEXT);
    out->manufacturer = wire_read_bytes(r, LONG_TEXT);
    out->model = wire_read_bytes(r, SHORT_TEXT);
    out->serial = wire_read_bytes(r, SHORT_TEXT);
    out->pin_min = wire_read_u64(r);
    out->pin_max = wire_read_u64(r);
}

void sk_reply_mechanism(struct wire_reader *r, struct sk_mechanism_info *out)
{
    out->type = wire_read_u64(r);
    out->flags = wire_read_u64(r);
    out->min = wire_read_u64(r);
    out->max = wire_read_u64(r);
}

uint64_t *sk_reply_handles(struct wire_reader *r, uint64_t after, bool *more, uint32_t *count)
{
    uint64_t *handles = NULL;

    *more = wire_read_u8(r) != 0;
    *count = sk_reply_count(r, WIRE_FIND_MAX);
    if (*count == 0) {
        r->bad = r->bad || *more; /* an empty page with more to come would be asked for endlessly */
        return NULL;
    }
    handles = malloc(*count * sizeof(*handles));
    if (!handles)
        r->bad = true;
    for (uint32_t i = 0; handles && i < *count; i++) {
        handles[i] = wire_read_u64(r);
        if (handles[i] <= after)
            r->bad = true;
        after = handles[i];
    }
    return handles;
}

static void unavailable(CK_ATTRIBUTE *a) { a->ulValueLen = CK_UNAVAILABLE_INFORMATION; }

/* Copies a value out. A NULL pointer asks for the length. */
static CK_RV put(CK_ATTRIBUTE *a, struct wire_bytes value)
{
    if (a->pValue && a->ulValueLen < value.length) {
        unavailable(a);
        return CKR_BUFFER_TOO_SMALL;
    }
    if (a->pValue && value.length)
        memcpy(a->pValue, value.data, value.length);
    a->ulValueLen = value.length;
    return CKR_OK;
}

/* A nested template: the caller's array gets types and lengths, and values where it has room for them
 * (PKCS#11 3.1, 5.7.5). */
static CK_RV put_nested(struct wire_reader *whole, CK_ATTRIBUTE *a, struct wire_bytes value)
{
    CK_ATTRIBUTE *inner = a->pValue;
    struct wire_reader r;
    uint32_t count;
    CK_RV rv = CKR_OK;

    wire_reader_init(&r, value.data ? (const void *)value.data : "", value.length);
    count = value.length ? sk_reply_count(&r, WIRE_ATTRIBUTES_MAX) : 0;
    if (inner && a->ulValueLen < count * sizeof(*inner)) {
        unavailable(a);
        return CKR_BUFFER_TOO_SMALL;
    }
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        uint64_t type = wire_read_u64(&r);
        struct wire_bytes one = wire_read_bytes(&r, WIRE_DATA_MAX);

        if (r.bad || !inner)
            continue;
        inner[i].type = type;
        if (put(&inner[i], one) != CKR_OK)
            rv = CKR_BUFFER_TOO_SMALL;
    }
    whole->bad = whole->bad || !wire_reader_done(&r);
    a->ulValueLen = count * sizeof(*inner);
    return rv;
}

static CK_RV put_value(struct wire_reader *r, CK_ATTRIBUTE *a, struct wire_bytes value)
{
    return sk_attribute_is_nested(a->type) ? put_nested(r, a, value) : put(a, value);
}

static CK_RV put_material(struct wire_reader *r, CK_ATTRIBUTE *a, const struct wire_template *material)
{
    const struct wire_attribute *found = wire_template_find(material, a->type);

    (void)r;
    if (found)
        return put(a, found->value);
    unavailable(a); /* such keys have it, but this one was not made of a seed that is known */
    return CKR_ATTRIBUTE_TYPE_INVALID;
}

static CK_RV put_one(struct wire_reader *r, CK_ATTRIBUTE *a, const struct wire_template *material)
{
    uint64_t type = wire_read_u64(r);
    uint8_t state = wire_read_u8(r);
    struct wire_bytes value = wire_read_bytes(r, WIRE_BODY_MAX);

    if (r->bad || type != a->type || state > WIRE_ATTRIBUTE_MATERIAL) {
        r->bad = true;
        return CKR_OK;
    }
    if (state == WIRE_ATTRIBUTE_VALUE)
        return put_value(r, a, value);
    if (state == WIRE_ATTRIBUTE_MATERIAL)
        return put_material(r, a, material);
    unavailable(a);
    return state == WIRE_ATTRIBUTE_SENSITIVE ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
}

/* Which code to give when several apply: any is allowed; the one that says most comes first. */
static CK_RV worse(CK_RV a, CK_RV b)
{
    static const CK_RV order[] = {CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL};

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return CKR_OK;
}

static void read_material(struct wire_reader *r, struct wire_template *out)
{
    struct wire_bytes section = wire_read_bytes(r, WIRE_BODY_MAX);
    struct wire_reader inner;

    out->count = 0;
    if (section.length == 0)
        return;
    wire_reader_init(&inner, section.data, section.length);
    wire_read_template(&inner, out);
    r->bad = r->bad || !wire_reader_done(&inner);
}

CK_RV sk_reply_attributes(struct wire_reader *r, CK_ATTRIBUTE *attributes, uint32_t count)
{
    struct wire_template material;
    CK_RV rv = CKR_OK;

    read_material(r, &material);
    if (wire_read_u32(r) != count)
        r->bad = true;
    for (uint32_t i = 0; i < count && !r->bad; i++)
        rv = worse(rv, put_one(r, &attributes[i], &material));
    return rv;
}

void sk_reply_encapsulated(struct wire_reader *r, uint64_t room, struct sk_encapsulated *out)
{
    out->handle = wire_read_u64(r);
    out->needed = wire_read_u64(r);
    out->ciphertext = wire_read_bytes(r, WIRE_DATA_MAX);
    if (out->handle ? out->needed > room || out->ciphertext.length != out->needed || !out->needed
                    : out->needed <= room || out->needed > WIRE_DATA_MAX)
        r->bad = true;
}
