/* cell_wrap and cell_unwrap: keys as bytes that another key protects. */
#include "arena.h"
#include "cipher_length.h"
#include "command.h"
#include "cryptoki.h"
#include "mechanism.h"

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
