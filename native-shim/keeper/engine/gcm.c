/*
 * AES-GCM and ChaCha20-Poly1305, the tag after the ciphertext (PKCS#11 3.1, 6.13.3, 6.51). Decryption gives nothing before
 * the tag is good.
 */
#include "../aead.h"
#include "../crypto.h"
#include "../ring.h"
#include "engine.h"
#include "mechanism.h"

enum {
    OPENSSL_IV_MAX = 128, /* OpenSSL 3 takes no longer initial value */
    STRAIGHT_LEAST = 4096, /* from here on it is faster than to copy */
    MESSAGE_MAX = 64 * 1024 * 1024
};

static bool set_key(struct kp_op *op)
{
    const struct wire_bytes key = op->key->secret;

    op->aead = kp_aead_new(kp_cipher_name(op->mechanism->algorithm, key.length), key, kp_op_encrypts(op));
    return op->aead;
}

static int gcm_begin(struct kp_op *op, const struct wire_params *p)
{
    op->tag = p->bits / 8;
    if (p->iv.length > OPENSSL_IV_MAX)
        return STATUS_mechanism_param_invalid;
    if (!op->warm && !set_key(op))
        return STATUS_memory;
    return kp_aead_begin(op->aead, p->iv, p->aad) ? STATUS_ok : STATUS_internal;
}

/* How much of it goes to the writer, and not straight on. */
static size_t kept_back(const struct kp_op *op, size_t length, const struct wire_writer *out)
{
    const size_t in_line = RING_LINE_BYTES - RING_HEADER_BYTES, before = wire_written(out);

    return op->straight && op->straight->to && length >= STRAIGHT_LEAST && before < in_line ? in_line - before : length;
}

/* Straight into the ring what is long. Who changes it there before the tag is made gets the tag of what it wrote, as if it had
 * given other data; nothing is read back but for the tag. */
static bool encipher(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    const size_t first = kept_back(op, in.length, out);

    if (!kp_aead_update(op->aead, (struct wire_bytes){in.data, first}, out->at))
        return false;
    if (first == in.length)
        return true;
    op->straight->length = in.length - first;
    return kp_aead_update(op->aead, (struct wire_bytes){in.data + first, in.length - first}, op->straight->to);
}

static int gcm_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    uint8_t *at;

    if (!kp_op_encrypts(op))
        return kp_gather(op, in, MESSAGE_MAX);
    at = kp_out_room(out, in.length);
    if (!at || !encipher(op, in, out))
        return STATUS_memory;
    out->at += in.length;
    return STATUS_ok;
}

static int seal(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    int status = in.length ? gcm_update(op, in, out) : STATUS_ok;
    uint8_t *at = kp_out_room(out, op->tag);

    if (status != STATUS_ok)
        return status;
    if (!at || !kp_aead_seal(op->aead, at, op->tag))
        return STATUS_internal;
    out->at += op->tag;
    return STATUS_ok;
}

/* Deciphers to `plain` (which may be the ciphertext's own place), wiped again when the tag is bad. */
static int open_to(struct kp_op *op, struct wire_bytes all, uint8_t *plain)
{
    size_t length = all.length - op->tag;
    uint8_t tag[16];

    for (uint32_t i = 0; i < op->tag; i++)
        tag[i] = all.data[length + i];
    if ((length == 0 || kp_aead_update(op->aead, (struct wire_bytes){all.data, length}, plain)) &&
        kp_aead_check(op->aead, tag, op->tag))
        return STATUS_ok;
    wire_wipe(plain, length);
    return STATUS_encrypted_data_invalid;
}

static int gcm_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    struct wire_bytes all;
    size_t length;
    int status;

    (void)signature;
    if (kp_op_encrypts(op))
        return seal(op, in, out);
    status = kp_gathered(op, in, MESSAGE_MAX, &all);
    if (status != STATUS_ok)
        return status;
    if (all.length < op->tag)
        return STATUS_encrypted_data_len_range;
    length = all.length - op->tag;
    if (length < kp_out_max(out)) {
        if (!kp_out_room(out, length))
            return STATUS_memory;
        status = open_to(op, all, out->at);
        out->at += status == STATUS_ok ? length : 0;
        return status;
    }
    /* In place in what was gathered, of which the caller fetches piece by piece. */
    if (op->length == 0)
        status = kp_gather(op, in, MESSAGE_MAX);
    if (status == STATUS_ok)
        status = open_to(op, (struct wire_bytes){op->data, op->length}, op->data);
    if (status != STATUS_ok)
        return status;
    op->length = length;
    kp_op_more(op, out);
    return STATUS_ok;
}

static void gcm_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = kp_op_encrypts(op) ? WIRE_OUTPUT_INPUT : WIRE_OUTPUT_UNPADDED;
    *size = kp_op_encrypts(op) ? op->tag : 0;
}

const struct kp_engine kp_engine_gcm = {gcm_begin, gcm_update, gcm_finish, gcm_describe, true};
