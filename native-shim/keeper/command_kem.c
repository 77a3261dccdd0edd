/* cell_encapsulate and cell_decapsulate: a secret key that two sides share, out of a public key or of what it sent. */
#include "arena.h"
#include "command.h"
#include "cryptoki.h"
#include "engine/engine.h"

enum { CIPHERTEXT_MAX = 4096 };

/* The whole secret or none of it: a part of it is not what the other side has. */
static int key_of(const struct kp_new_key *n, const struct wire_writer *secret, uint64_t wanted, struct kp_key **out)
{
    size_t length = wire_written(secret);

    if (n->object_class != CKO_SECRET_KEY)
        return STATUS_template_inconsistent;
    if (wanted && wanted != length)
        return STATUS_key_size_range;
    return kp_key_secret(n->type, secret->start, length, out);
}

struct exchange {
    struct kp_new_key wanted;
    uint64_t cell, mechanism, length;
    struct wire_bytes params, ciphertext; /* absent: it is made */
};

static int share(const struct exchange *x, struct wire_writer *secret, struct wire_writer *ciphertext)
{
    struct kp_key *key = NULL;
    int status = kp_take_key(x->cell, false, &key);

    if (status == STATUS_ok)
        status = ciphertext ? kp_encapsulate(x->mechanism, key, x->params, secret, ciphertext)
                            : kp_decapsulate(x->mechanism, key, x->params, x->ciphertext, secret);
    kp_key_drop(key);
    return status;
}

static int run(const struct exchange *x, struct wire_writer *ciphertext, struct kp_key **out)
{
    uint8_t *buffer = kp_alloc(WIRE_COMPONENT_MAX);
    struct wire_writer secret;
    int status;

    if (!buffer)
        return STATUS_memory;
    wire_writer_init(&secret, buffer, WIRE_COMPONENT_MAX);
    status = share(x, &secret, ciphertext);
    if (status == STATUS_ok)
        status = key_of(&x->wanted, &secret, x->length, out);
    kp_free(buffer);
    return status;
}

int kp_on_cell_encapsulate(struct kp_request *r)
{
    uint8_t bytes[CIPHERTEXT_MAX];
    struct wire_writer ciphertext;
    struct kp_key *key = NULL;
    struct exchange x = {0};
    int status;

    kp_read_new_key(&r->body, &x.wanted);
    x.cell = wire_read_u64(&r->body);
    kp_read_mechanism(&r->body, &x.mechanism, &x.params);
    x.length = wire_read_u64(&r->body);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    wire_writer_init(&ciphertext, bytes, sizeof(bytes));
    status = run(&x, &ciphertext, &key);
    if (status == STATUS_ok)
        status = kp_make(r, &x.wanted, key);
    wire_write_bytes(r->reply, bytes, wire_written(&ciphertext));
    return status;
}

int kp_on_cell_decapsulate(struct kp_request *r)
{
    struct kp_key *key = NULL;
    struct exchange x = {0};
    int status;

    kp_read_new_key(&r->body, &x.wanted);
    x.cell = wire_read_u64(&r->body);
    kp_read_mechanism(&r->body, &x.mechanism, &x.params);
    x.ciphertext = wire_read_bytes(&r->body, CIPHERTEXT_MAX);
    x.length = wire_read_u64(&r->body);
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    status = run(&x, NULL, &key);
    return status == STATUS_ok ? kp_make(r, &x.wanted, key) : status;
}
