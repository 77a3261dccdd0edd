/*
 * Keys of TLS 1.2, and of SSL 3.0, TLS 1.0 and 1.1 by legacy mechanisms of their own (PKCS#11 3.1, 6.38; RFC 5246, 6.3 and
 * 8.1; RFC 5705; RFC 7627; RFC 6101, 6.1 and 6.2): the master secret, the key block in its six parts, and keys for other
 * protocols.
 */
#include "../arena.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"
#include "../../wire/tls.h"

enum { MASTER_BYTES = 48, VERSION_BYTES = 2, BLOCK_MAX = 2 * (64 + 64 + 16) };

static struct wire_bytes text(const char *label, size_t length)
{
    return (struct wire_bytes){(const uint8_t *)label, length};
}

#define TEXT(label) text(label, sizeof(label) - 1)

/* An extended master secret is one of its handshake: without the hash of that it would be one of none. */
static bool seed_suits(const struct kp_derivation *d)
{
    return !wire_tls_is_extended(d->mechanism->type) || (d->params.iv.length && !d->params.point.length);
}

/* An old PRF belongs to its legacy mechanisms, which have no other: a parameter cannot bring it in by another door. */
static bool prf_suits(const struct kp_derivation *d)
{
    const uint64_t hash = d->params.hash, old = wire_tls_old_prf(d->mechanism->type);

    return old ? hash == old : hash != CKM_TLS_PRF && hash != CKM_SSL3_MASTER_KEY_DERIVE;
}

/* The first bytes of a pre-master secret are the version that the client offered. */
static int version(const struct kp_derivation *d, struct wire_writer *out)
{
    if (!wire_tls_is_rsa(d->mechanism->type))
        return STATUS_mechanism_param_invalid;
    wire_write_raw(out, d->base->secret.data, VERSION_BYTES);
    return STATUS_ok;
}

int kp_tls_master(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct wire_params *p = &d->params;
    const struct wire_bytes seed[3] = {p->iv, p->point, {NULL, 0}};
    uint8_t *at = kp_out_room(out, MASTER_BYTES);
    size_t made = p->part == TLS_VERSION ? VERSION_BYTES : MASTER_BYTES;
    struct wire_bytes label;
    int status;

    if (d->base->type != CKK_GENERIC_SECRET)
        return STATUS_key_type_inconsistent;
    if (!prf_suits(d) || !seed_suits(d))
        return STATUS_mechanism_param_invalid;
    if ((wire_tls_is_rsa(d->mechanism->type) && d->base->secret.length != MASTER_BYTES) || (d->length && d->length != made))
        return STATUS_key_size_range;
    if (p->part == TLS_VERSION)
        return version(d, out);
    if (!at)
        return STATUS_memory;
    label = wire_tls_is_extended(d->mechanism->type) ? TEXT("extended master secret") : TEXT("master secret");
    status = kp_tls_prf(p->hash, d->base->secret, label, seed, at, MASTER_BYTES);
    out->at += status == STATUS_ok ? MASTER_BYTES : 0;
    return status;
}

/* Where in the key block a part lies, and how long it is: both MAC secrets, both keys, both IVs, the client's first. */
static size_t part_of(const struct wire_params *p, size_t *size)
{
    size_t kind = p->part / 2, offset = 0;

    for (size_t i = 0; i < kind; i++)
        offset += 2 * (size_t)p->sizes[i];
    *size = p->sizes[kind];
    return offset + (p->part % 2 ? *size : 0);
}

int kp_tls_keys(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct wire_params *p = &d->params;
    const struct wire_bytes seed[3] = {p->point, p->iv, {NULL, 0}};
    size_t size, offset = part_of(p, &size);
    uint8_t *block;
    int status;

    if (d->base->type != CKK_GENERIC_SECRET)
        return STATUS_key_type_inconsistent;
    if (size == 0 || !prf_suits(d) || (d->mechanism->type == CKM_TLS12_KEY_SAFE_DERIVE && p->part >= TLS_CLIENT_IV))
        return STATUS_mechanism_param_invalid;
    if (d->base->secret.length != MASTER_BYTES || (d->length && d->length != size))
        return STATUS_key_size_range;
    block = kp_alloc(BLOCK_MAX);
    if (!block)
        return STATUS_memory;
    status = kp_tls_prf(p->hash, d->base->secret, TEXT("key expansion"), seed, block, offset + size);
    if (status == STATUS_ok)
        wire_write_raw(out, block + offset, size);
    kp_free(block);
    return status;
}

/* RFC 5705, 4: a context that is there, if only with no bytes, is preceded by its length. */
int kp_tls_kdf(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct wire_params *p = &d->params;
    uint8_t *at = kp_out_room(out, d->length), *context;
    struct wire_bytes seed[3] = {p->iv, p->point, {NULL, 0}};
    struct wire_writer w;
    int status;

    if (d->base->type != CKK_GENERIC_SECRET)
        return STATUS_key_type_inconsistent;
    if (!prf_suits(d))
        return STATUS_mechanism_param_invalid;
    if (d->length == 0)
        return STATUS_template_incomplete;
    context = kp_alloc(2 + p->context.length);
    if (!at || !context) {
        kp_free(context);
        return STATUS_memory;
    }
    wire_writer_init(&w, context, 2 + p->context.length);
    wire_write_u8(&w, (uint8_t)(p->context.length >> 8));
    wire_write_u8(&w, (uint8_t)p->context.length);
    wire_write_raw(&w, p->context.data, p->context.length);
    if (p->present)
        seed[2] = (struct wire_bytes){context, wire_written(&w)};
    status = kp_tls_prf(p->hash, d->base->secret, p->aad, seed, at, d->length);
    out->at += status == STATUS_ok ? d->length : 0;
    kp_free(context);
    return status;
}
