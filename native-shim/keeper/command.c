/* What the agent does with cells: make, open, seal, wrap, derive, note, drop. */
#include "arena.h"
#include "cipher_length.h"
#include "clock.h"
#include "command.h"
#include "cryptoki.h"
#include "material.h"
#include "mechanism.h"
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

void kp_read_mechanism(struct wire_reader *r, uint64_t *type, struct wire_bytes *params)
{
    *type = wire_read_u64(r);
    *params = wire_read_bytes(r, WIRE_PARAMS_MAX);
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
    kp_frame_free(material, length);
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

/* What went wrong with the data is, of a wrapped key, wrong with the wrapped key. */
static int unwrapping_status(int status)
{
    if (status == STATUS_encrypted_data_invalid)
        return STATUS_wrapped_key_invalid;
    if (status == STATUS_encrypted_data_len_range)
        return STATUS_wrapped_key_len_range;
    return status == STATUS_key_type_inconsistent ? STATUS_unwrapping_key_type_inconsistent : status;
}

static int key_of_bytes(const struct kp_new_key *n, const struct wire_writer *plain, uint64_t wanted, struct kp_key **out)
{
    size_t length = wire_written(plain);
    int status;

    if (n->object_class == CKO_PRIVATE_KEY)
        return kp_key_read_pkcs8(n->type, plain->start, length, out);
    if (n->object_class != CKO_SECRET_KEY)
        return STATUS_template_inconsistent;
    if (wanted > length)
        return STATUS_wrapped_key_len_range;
    status = kp_key_secret(n->type, plain->start, wanted ? wanted : length, out);
    return status == STATUS_key_size_range ? STATUS_wrapped_key_len_range : status;
}

/* Mechanisms that wrap and do nothing else; all others wrap as they encrypt. */
static const struct wrapper {
    enum wire_engine engine;
    int (*wrap)(struct kp_key *by, struct wire_bytes params, struct wire_bytes plain, struct wire_writer *out);
    int (*unwrap)(struct kp_key *by, struct wire_bytes params, struct wire_bytes wrapped, struct wire_writer *plain);
} wrappers[] = {
    {ENGINE_rsa_aes, kp_rsa_aes_wrap, kp_rsa_aes_unwrap},
    {ENGINE_ecdh_aes, kp_ecdh_aes_wrap, kp_ecdh_aes_unwrap},
};

static const struct wrapper *find_wrapper(enum wire_engine engine)
{
    for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++)
        if (wrappers[i].engine == engine)
            return &wrappers[i];
    return NULL;
}

static int unwrap(struct kp_key *by, uint64_t mechanism, struct wire_bytes params, struct wire_bytes wrapped,
                  struct wire_writer *plain)
{
    const struct wire_mechanism *m = wire_mechanism_find(mechanism);
    const struct wrapper *own = m ? find_wrapper(m->engine) : NULL;

    if (!m || !(m->flags & CAN_UNWRAP))
        return STATUS_mechanism_invalid;
    if (own)
        return unwrapping_status(own->unwrap(by, params, wrapped, plain));
    return unwrapping_status(kp_op_once(mechanism, WIRE_DECRYPT, by, params, wrapped, plain));
}

int kp_on_cell_unwrap(struct kp_request *r)
{
    struct kp_new_key n;
    struct kp_key *by = NULL, *key = NULL;
    struct wire_bytes params, wrapped;
    struct wire_writer plain;
    uint64_t id, mechanism, length;
    uint8_t *buffer;
    int status;

    kp_read_new_key(&r->body, &n);
    id = wire_read_u64(&r->body);
    kp_read_mechanism(&r->body, &mechanism, &params);
    wrapped = wire_read_bytes(&r->body, WIRE_BLOB_MAX);
    length = wire_read_u64(&r->body);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    buffer = kp_alloc(WIRE_BLOB_MAX + 64);
    if (!buffer)
        return STATUS_memory;
    wire_writer_init(&plain, buffer, WIRE_BLOB_MAX + 64);
    status = kp_take_key(id, false, &by);
    if (status == STATUS_ok)
        status = unwrap(by, mechanism, params, wrapped, &plain);
    if (status == STATUS_ok)
        status = key_of_bytes(&n, &plain, length, &key);
    kp_free(buffer);
    kp_key_drop(by);
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
    kp_frame_free(material, length);
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

static int wrapping_status(int status)
{
    if (status == STATUS_data_len_range)
        return STATUS_key_size_range;
    return status == STATUS_key_type_inconsistent ? STATUS_wrapping_key_type_inconsistent : status;
}

/* Zeros up to this many bytes are added to a key: for ECB and CBC without padding (PKCS#11 3.1, 6.11.6), and for
 * CKM_AES_KEY_WRAP, as other modules fill them. Data of other lengths these refuse. */
static size_t unit_of(const struct wire_mechanism *m)
{
    if (m->engine == ENGINE_cipher)
        return wire_block_bytes(m);
    return m->type == CKM_AES_KEY_WRAP ? 8 : 1;
}

static int wrappable(const struct kp_key *key, const struct wire_mechanism *m, struct wire_writer *plain)
{
    int status = STATUS_ok;

    if (key->object_class == CKO_SECRET_KEY)
        wire_write_raw(plain, key->secret.data, key->secret.length);
    else
        status = kp_key_write_pkcs8(key, plain);
    while (status == STATUS_ok && wire_written(plain) % unit_of(m) != 0 && !plain->full)
        wire_write_u8(plain, 0);
    return plain->full ? STATUS_memory : status;
}

static int wrap(const struct kp_key *key, struct kp_key *by, uint64_t mechanism, struct wire_bytes params,
                struct wire_writer *out)
{
    const struct wire_mechanism *m = wire_mechanism_find(mechanism);
    const struct wrapper *own = m ? find_wrapper(m->engine) : NULL;
    struct wire_writer plain;
    uint8_t *buffer;
    int status;

    if (!m || !(m->flags & CAN_WRAP))
        return STATUS_mechanism_invalid;
    buffer = kp_alloc(WIRE_MATERIAL_MAX);
    if (!buffer)
        return STATUS_memory;
    wire_writer_init(&plain, buffer, WIRE_MATERIAL_MAX);
    status = wrappable(key, m, &plain);
    if (status == STATUS_ok && own)
        status = wrapping_status(own->wrap(by, params, (struct wire_bytes){buffer, wire_written(&plain)}, out));
    else if (status == STATUS_ok)
        status = wrapping_status(kp_op_once(mechanism, WIRE_ENCRYPT, by, params,
                                            (struct wire_bytes){buffer, wire_written(&plain)}, out));
    kp_free(buffer);
    return status;
}

int kp_on_cell_wrap(struct kp_request *r)
{
    uint64_t id = wire_read_u64(&r->body), by_id = wire_read_u64(&r->body), mechanism;
    struct kp_key *key = NULL, *by = NULL;
    struct wire_bytes params;
    size_t mark;
    int status;

    kp_read_mechanism(&r->body, &mechanism, &params);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    status = kp_take_key(id, false, &key);
    if (status == STATUS_ok)
        status = kp_take_key(by_id, mechanism == CKM_AES_GCM, &by);
    mark = wire_begin_bytes(r->reply);
    if (status == STATUS_ok)
        status = wrap(key, by, mechanism, params, r->reply);
    wire_end_bytes(r->reply, mark);
    kp_key_drop(key);
    kp_key_drop(by);
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
