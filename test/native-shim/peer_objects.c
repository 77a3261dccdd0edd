/* What the stand-in for the keeper answers about objects. */
#include "peer_answers.h"

#include "../../native-shim/wire/template.h"

unsigned peer_objects = 5000;

uint16_t peer_find(struct wire_reader *r, struct wire_writer *w)
{
    struct wire_template t;
    uint64_t after;
    uint32_t n;

    peer_read_place(r);
    after = wire_read_u64(r);
    wire_read_template(r, &t);
    n = peer_objects - after < 1000 ? (uint32_t)(peer_objects - after) : 1000;
    wire_write_u8(w, after + n < peer_objects);
    wire_write_u32(w, n);
    for (uint32_t i = 0; i < n; i++)
        wire_write_u64(w, after + i + 1);
    return STATUS_ok;
}

static void write_one(struct wire_writer *w, uint64_t type)
{
    bool known = type == CKA_LABEL || type == CKA_WRAP_TEMPLATE;
    size_t mark, inner;

    wire_write_u64(w, type);
    wire_write_u8(w, type == CKA_PRIVATE_EXPONENT ? WIRE_ATTRIBUTE_SENSITIVE
                     : type == CKA_VALUE          ? WIRE_ATTRIBUTE_MATERIAL
                     : known                      ? WIRE_ATTRIBUTE_VALUE
                                                  : WIRE_ATTRIBUTE_UNKNOWN);
    if (type == CKA_LABEL) {
        wire_write_bytes(w, "a key", 5);
    } else if (type == CKA_WRAP_TEMPLATE) {
        mark = wire_begin_bytes(w);
        inner = wire_begin_template(w);
        wire_write_attribute(w, CKA_ID, "id", 2);
        wire_end_template(w, inner, 1);
        wire_end_bytes(w, mark);
    } else {
        wire_write_absent(w);
    }
}

uint16_t peer_get_attributes(struct wire_reader *r, struct wire_writer *w)
{
    uint64_t handle;
    uint32_t count;
    size_t mark, inner;

    peer_read_place(r);
    handle = wire_read_u64(r);
    count = wire_read_u32(r);
    if (count > WIRE_ATTRIBUTES_MAX)
        peer_complain("get_attributes: too many");
    mark = wire_begin_bytes(w);
    inner = wire_begin_template(w);
    wire_write_attribute(w, CKA_VALUE, "secret", 6);
    wire_end_template(w, inner, 1);
    wire_end_bytes(w, mark);
    wire_write_u32(w, count);
    for (uint32_t i = 0; i < count && !r->bad; i++)
        write_one(w, wire_read_u64(r));
    return handle == PEER_KEY ? STATUS_ok : STATUS_object_handle_invalid;
}

uint16_t peer_object_size(struct wire_reader *r, struct wire_writer *w)
{
    peer_read_place(r);
    wire_write_u64(w, 100);
    return wire_read_u64(r) == PEER_KEY ? STATUS_ok : STATUS_object_handle_invalid;
}

uint16_t peer_create(struct wire_reader *r, struct wire_writer *w)
{
    struct wire_bytes section = wire_read_bytes(r, WIRE_BODY_MAX);
    struct wire_reader inner;
    struct wire_template material, rest;

    wire_reader_init(&inner, section.data, section.length);
    wire_read_template(&inner, &material);
    peer_read_place(r);
    wire_read_template(r, &rest);
    if (!wire_reader_done(&inner))
        peer_complain("create: the material is no template");
    if (!wire_template_find(&material, CKA_VALUE) || wire_template_find(&rest, CKA_VALUE))
        peer_complain("create: the value stands on the wrong side");
    wire_write_u64(w, 100);
    return STATUS_ok;
}

uint16_t peer_generate(struct wire_reader *r, struct wire_writer *w)
{
    struct wire_template t;

    peer_read_place(r);
    peer_read_mechanism(r);
    wire_read_template(r, &t);
    wire_write_u64(w, 101);
    return STATUS_ok;
}
