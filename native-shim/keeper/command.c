/* What the agent does with cells: make, open, derive, copy, seal, note, drop. */
#include "arena.h"
#include "clock.h"
#include "command.h"
#include "cryptoki.h"
#include "material.h"
#include "seal.h"

void kp_read_new_key(struct wire_reader *r, struct kp_new_key *n)
{
    n->object_class = wire_read_u32(r);
    n->type = wire_read_u64(r);
    n->cell.owner = wire_read_u64(r);
    n->cell.lease_ms = wire_read_u64(r);
    n->cell.uses = wire_read_u64(r);
    n->cell.note = wire_read_bytes(r, WIRE_NOTE_MAX);
    n->sealing = wire_read_u64(r);
    n->aad = wire_read_bytes(r, WIRE_AAD_MAX);
}

int kp_take_key(uint64_t id, bool seals, struct kp_key **out)
{
    struct kp_cell *cell;
    int status = STATUS_ok;

    kp_lock();
    cell = kp_cell_find(id, kp_now_ms());
    if (!cell || kp_cell_spent(cell)) {
        status = STATUS_cell_unknown;
    } else if (seals && !kp_cell_count_seal(cell)) {
        status = STATUS_message_cap;
    } else {
        *out = kp_key_ref(cell->key);
        kp_cell_used(cell);
    }
    kp_unlock();
    return status;
}

static int seal_with(uint64_t by, const struct kp_key *key, struct wire_bytes aad, struct wire_writer *w)
{
    struct kp_key *sealing = NULL;
    int status = kp_take_key(by, true, &sealing);
    size_t mark = wire_begin_bytes(w);

    if (status == STATUS_ok)
        status = kp_seal(sealing, key, aad, w);
    wire_end_bytes(w, mark);
    kp_key_drop(sealing);
    return status;
}

int kp_make(struct kp_request *r, const struct kp_new_key *n, struct kp_key *key)
{
    struct wire_writer *w = r->reply, id;
    uint8_t *at = w->at;
    struct kp_cell *cell = NULL;
    int status;

    wire_write_u64(w, 0);
    status = kp_key_write_public(key, w);
    if (status == STATUS_ok && n->sealing)
        status = seal_with(n->sealing, key, n->aad, w);
    else if (status == STATUS_ok)
        wire_write_absent(w);
    if (status == STATUS_ok && w->full)
        status = STATUS_internal;
    kp_lock();
    if (status == STATUS_ok)
        status = kp_cell_new(&n->cell, key, kp_now_ms(), &cell);
    if (cell) {
        wire_writer_init(&id, at, 8);
        wire_write_u64(&id, cell->id);
        key = NULL; /* the cell's now */
    }
    kp_unlock();
    kp_key_drop(key);
    return status;
}

/* `made` of domain parameters, which are no key. */
static int make_domain(struct kp_request *r, uint64_t mechanism, const struct wire_template *wanted)
{
    int status;

    wire_write_u64(r->reply, 0);
    status = kp_domain_generate(mechanism, wanted, r->reply);
    wire_write_absent(r->reply);
    return status == STATUS_ok && r->reply->full ? STATUS_internal : status;
}

int kp_on_cell_generate(struct kp_request *r)
{
    struct wire_template t;
    struct wire_bytes params;
    struct kp_new_key n;
    struct kp_key *key = NULL;
    uint64_t mechanism;
    int status;

    kp_read_new_key(&r->body, &n);
    kp_read_mechanism(&r->body, &mechanism, &params);
    wire_read_template(&r->body, &t);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    if (n.object_class == CKO_DOMAIN_PARAMETERS)
        return make_domain(r, mechanism, &t);
    status = kp_key_generate(mechanism, params, n.type, &t, &key);
    if (status == STATUS_ok && key->object_class != n.object_class) {
        kp_key_drop(key);
        return STATUS_template_inconsistent;
    }
    return status == STATUS_ok ? kp_make(r, &n, key) : status;
}

int kp_on_cell_import(struct kp_request *r)
{
    struct wire_template t;
    struct kp_new_key n;
    struct kp_key *key = NULL;
    uint8_t *material = NULL;
    size_t length = 0;
    uint64_t id;
    int status;

    kp_read_new_key(&r->body, &n);
    id = wire_read_u64(&r->body);
    wire_read_template(&r->body, &t);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    status = kp_material_join(id, &t, &material, &length);
    if (status == STATUS_ok)
        status = kp_key_import(n.object_class, n.type, &t, &key);
    kp_frame_free(KP_FRAMES_PARKED, material, length);
    return status == STATUS_ok ? kp_make(r, &n, key) : status;
}

int kp_on_cell_open(struct kp_request *r)
{
    struct kp_new_key n;
    struct kp_key *by = NULL, *key = NULL;
    struct wire_bytes aad, blob;
    uint64_t id;
    int status;

    kp_read_new_key(&r->body, &n);
    id = wire_read_u64(&r->body);
    aad = wire_read_bytes(&r->body, WIRE_AAD_MAX);
    blob = wire_read_bytes(&r->body, WIRE_BLOB_MAX);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    status = kp_take_key(id, false, &by);
    if (status == STATUS_ok)
        status = kp_unseal(by, aad, blob, &key);
    kp_key_drop(by);
    if (status == STATUS_ok && (key->object_class != n.object_class || key->type != n.type)) {
        kp_key_drop(key);
        status = STATUS_seal_broken;
    }
    return status == STATUS_ok ? kp_make(r, &n, key) : status;
}

/* What a key is derived from: the key of a cell or, for a mechanism that stretches a password, material of a routed request. */
static int take_base(uint64_t cell, uint64_t routed, struct kp_key **out)
{
    struct wire_template t = {.count = 0};
    uint8_t *material = NULL;
    size_t length = 0;
    int status;

    if (!routed)
        return kp_take_key(cell, false, out);
    status = kp_material_join(routed, &t, &material, &length);
    if (status == STATUS_ok)
        status = kp_key_import(CKO_SECRET_KEY, CKK_GENERIC_SECRET, &t, out);
    kp_frame_free(KP_FRAMES_PARKED, material, length);
    return status;
}

/* `made` of what is no key: the agent gets it, for a data object. CKM_HKDF_DATA alone has such a result. */
static void write_data(struct wire_writer *w, const struct wire_writer *data)
{
    size_t mark;

    wire_write_u64(w, 0);
    mark = wire_begin_template(w);
    wire_write_attribute(w, CKA_VALUE, data->start, wire_written(data));
    wire_end_template(w, mark, 1);
    wire_write_absent(w);
}

int kp_on_cell_derive(struct kp_request *r)
{
    struct kp_new_key n;
    struct kp_key *base = NULL, *other = NULL, *key = NULL;
    struct wire_bytes params;
    struct wire_writer secret;
    uint64_t id, mechanism, length, other_id, routed;
    uint8_t *buffer;
    int status;

    kp_read_new_key(&r->body, &n);
    id = wire_read_u64(&r->body);
    kp_read_mechanism(&r->body, &mechanism, &params);
    length = wire_read_u64(&r->body);
    other_id = wire_read_u64(&r->body);
    routed = wire_read_u64(&r->body);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    if (n.object_class != (mechanism == CKM_HKDF_DATA ? CKO_DATA : CKO_SECRET_KEY))
        return STATUS_template_inconsistent;
    buffer = kp_alloc(WIRE_COMPONENT_MAX);
    if (!buffer)
        return STATUS_memory;
    wire_writer_init(&secret, buffer, WIRE_COMPONENT_MAX);
    status = take_base(id, routed, &base);
    if (status == STATUS_ok && other_id)
        status = kp_take_key(other_id, false, &other);
    if (status == STATUS_ok)
        status = kp_derive(mechanism, base, other, params, length, &secret);
    if (status == STATUS_ok && n.object_class == CKO_DATA)
        write_data(r->reply, &secret);
    else if (status == STATUS_ok)
        status = kp_key_fresh(n.type, buffer, wire_written(&secret), &key);
    kp_free(buffer);
    kp_key_drop(base);
    kp_key_drop(other);
    return key ? kp_make(r, &n, key) : status;
}

/* A key is immutable: the copy shares it. */
int kp_on_cell_copy(struct kp_request *r)
{
    struct kp_new_key n;
    struct kp_key *key = NULL;
    uint64_t id;
    int status;

    kp_read_new_key(&r->body, &n);
    id = wire_read_u64(&r->body);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    status = kp_take_key(id, false, &key);
    return status == STATUS_ok ? kp_make(r, &n, key) : status;
}

int kp_on_cell_seal(struct kp_request *r)
{
    uint64_t id = wire_read_u64(&r->body), by = wire_read_u64(&r->body);
    struct wire_bytes aad = wire_read_bytes(&r->body, WIRE_AAD_MAX);
    struct kp_key *key = NULL;
    int status;

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    status = kp_take_key(id, false, &key);
    if (status == STATUS_ok)
        status = seal_with(by, key, aad, r->reply);
    kp_key_drop(key);
    return status;
}

int kp_on_cell_note(struct kp_request *r)
{
    uint64_t id = wire_read_u64(&r->body);
    struct wire_bytes note = wire_read_bytes(&r->body, WIRE_NOTE_MAX);
    struct kp_cell *cell;
    int status;

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    kp_lock();
    cell = kp_cell_find(id, kp_now_ms());
    status = !cell ? STATUS_cell_unknown : kp_note_set(&cell->note, note) ? STATUS_ok : STATUS_memory;
    kp_unlock();
    return status;
}

/* A cell that is gone already is dropped. */
int kp_on_cell_drop(struct kp_request *r)
{
    uint64_t id = wire_read_u64(&r->body);
    struct kp_cell *cell;

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    kp_lock();
    cell = kp_cell_find(id, kp_now_ms());
    if (cell)
        kp_cell_end(cell, KP_ENDED_SILENTLY);
    kp_unlock();
    return STATUS_ok;
}
