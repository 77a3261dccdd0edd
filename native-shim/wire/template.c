#include "template.h"

#include "cryptoki.h"

void wire_read_template(struct wire_reader *r, struct wire_template *out)
{
    uint32_t count = wire_read_u32(r);

    out->count = 0;
    if (count > WIRE_ATTRIBUTES_MAX)
        r->bad = true;
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        out->at[i].type = wire_read_u64(r);
        out->at[i].value = wire_read_bytes(r, WIRE_DATA_MAX);
    }
    if (!r->bad)
        out->count = count;
}

size_t wire_begin_template(struct wire_writer *w)
{
    size_t mark = wire_written(w);

    wire_write_u32(w, 0);
    return mark;
}

void wire_write_attribute(struct wire_writer *w, uint64_t type, const void *value, size_t length)
{
    wire_write_u64(w, type);
    wire_write_bytes(w, value, length);
}

void wire_end_template(struct wire_writer *w, size_t mark, uint32_t count)
{
    struct wire_writer field;

    if (w->full)
        return;
    wire_writer_init(&field, w->start + mark, 4);
    wire_write_u32(&field, count);
}

const struct wire_attribute *wire_template_find(const struct wire_template *t, uint64_t type)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->at[i].type == type)
            return &t->at[i];
    return NULL;
}

bool wire_attribute_is_material(uint64_t object_class, uint64_t type)
{
    if (object_class == CKO_SECRET_KEY)
        return type == CKA_VALUE;
    if (object_class != CKO_PRIVATE_KEY)
        return false;
    return type == CKA_VALUE || type == CKA_SEED || (type >= CKA_PRIVATE_EXPONENT && type <= CKA_COEFFICIENT);
}
