#include "material.h"

#include <string.h>

#include "arena.h"
#include "cell.h"
#include "clock.h"
#include "cryptoki.h"

/* The template of material as the agent may see it: types and lengths. */
static void write_lengths(struct wire_writer *w, const struct wire_template *t)
{
    size_t bytes = wire_begin_bytes(w), mark = wire_begin_template(w);

    for (uint32_t i = 0; i < t->count; i++) {
        wire_write_u64(w, t->at[i].type);
        wire_write_u32(w, 8);
        wire_write_u64(w, t->at[i].value.length);
    }
    wire_end_template(w, mark, t->count);
    wire_end_bytes(w, bytes);
}

static bool read_material(struct wire_bytes bytes, struct wire_template *t)
{
    struct wire_reader r;

    t->count = 0;
    if (bytes.length == 0)
        return true;
    wire_reader_init(&r, bytes.data, bytes.length);
    wire_read_template(&r, t);
    return wire_reader_done(&r);
}

int kp_material_cut(struct kp_parked *p, struct wire_bytes body)
{
    struct wire_bytes material, rest;
    struct wire_template t;
    struct wire_reader r;
    struct wire_writer w;

    wire_reader_init(&r, body.data, body.length);
    material = wire_read_bytes(&r, WIRE_MATERIAL_MAX);
    rest = wire_read_rest(&r);
    if (!wire_reader_done(&r) || !read_material(material, &t))
        return STATUS_wire_malformed;
    p->length = 4 + 4 + (size_t)t.count * 20 + rest.length;
    if (p->length > WIRE_BODY_MAX) /* lengths of what is short take more room than that: the agent would hang up */
        return STATUS_memory;
    p->body = kp_frame_new(KP_FRAMES_PARKED, p->length);
    if (!p->body)
        return STATUS_memory;
    wire_writer_init(&w, p->body, p->length);
    write_lengths(&w, &t);
    wire_write_raw(&w, rest.data, rest.length);
    if (!material.length)
        return STATUS_ok;
    p->material = kp_frame_new(KP_FRAMES_PARKED, material.length);
    if (!p->material)
        return STATUS_memory;
    p->material_length = material.length;
    memcpy(p->material, material.data, material.length);
    return STATUS_ok;
}

static void write_component(struct wire_writer *w, const struct kp_key *key, uint64_t type, uint32_t *count)
{
    struct wire_template t;
    const struct wire_attribute *a;

    kp_key_components(key, &t);
    a = wire_template_find(&t, type);
    if (!a || !wire_attribute_is_material(key->object_class, type))
        return;
    wire_write_attribute(w, type, a->value.data, a->value.length);
    ++*count;
}

/* Which attributes of the answer are marked; a bad answer is the agent's fault. */
static int write_material(struct wire_bytes attributes, const struct kp_key *key, struct wire_writer *w)
{
    size_t bytes = wire_begin_bytes(w), mark = wire_begin_template(w);
    struct wire_reader r;
    uint32_t written = 0, count;

    wire_reader_init(&r, attributes.data, attributes.length);
    count = wire_read_u32(&r);
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        uint64_t type = wire_read_u64(&r);
        uint8_t state = wire_read_u8(&r);

        wire_read_bytes(&r, WIRE_BODY_MAX);
        if (!r.bad && state == WIRE_ATTRIBUTE_MATERIAL && key)
            write_component(w, key, type, &written);
    }
    wire_end_template(w, mark, written);
    wire_end_bytes(w, bytes);
    return wire_reader_done(&r) ? STATUS_ok : STATUS_internal;
}

int kp_material_put(struct wire_bytes reply, struct wire_writer *w)
{
    struct wire_bytes attributes;
    struct kp_cell *cell = NULL;
    struct kp_key *key = NULL;
    struct wire_reader r;
    uint64_t id;
    int status;

    wire_reader_init(&r, reply.data, reply.length);
    id = wire_read_u64(&r);
    attributes = wire_read_rest(&r);
    if (!wire_reader_done(&r))
        return STATUS_internal;
    kp_lock();
    cell = id ? kp_cell_find(id, kp_now_ms()) : NULL;
    key = cell ? kp_key_ref(cell->key) : NULL;
    kp_unlock();
    if (id && !key)
        return STATUS_cell_unknown;
    status = write_material(attributes, key, w);
    wire_write_raw(w, attributes.data, attributes.length);
    kp_key_drop(key);
    return status;
}

int kp_material_join(uint64_t id, struct wire_template *t, uint8_t **material, size_t *length)
{
    struct wire_template secret;
    struct kp_parked *p;

    if (!id)
        return STATUS_ok;
    kp_lock();
    p = kp_parked_find(id);
    if (p) {
        *material = p->material;
        *length = p->material_length;
        p->material = NULL;
        p->material_length = 0;
    }
    kp_unlock();
    if (!p)
        return STATUS_deadline; /* the module has had its answer: nobody waits for this key */
    if (!read_material((struct wire_bytes){*material, *length}, &secret) ||
        t->count + secret.count > WIRE_ATTRIBUTES_MAX)
        return STATUS_wire_malformed;
    memcpy(&t->at[t->count], secret.at, secret.count * sizeof(secret.at[0]));
    t->count += secret.count;
    return STATUS_ok;
}
