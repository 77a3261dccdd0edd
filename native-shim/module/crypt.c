#include "crypt.h"

#include "digest.h"
#include "former.h"
#include "length.h"
#include "object.h"
#include "phase.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t can[WIRE_OPERATIONS] = {
    [WIRE_ENCRYPT] = CAN_ENCRYPT, [WIRE_DECRYPT] = CAN_DECRYPT, [WIRE_SIGN] = CAN_SIGN,
    [WIRE_VERIFY] = CAN_VERIFY,   [WIRE_DIGEST] = CAN_DIGEST,   [WIRE_SIGN_RECOVER] = CAN_SIGN_RECOVER,
    [WIRE_VERIFY_RECOVER] = CAN_VERIFY_RECOVER,
};

/* lengths */

/* What a question for the length is told. Not 0 where data were given: a caller that allocates nothing (PyKCS11's empty
 * vector) would pass NULL again where it means to work, be taken to ask again, and lose its data. */
static uint64_t told(uint64_t bound, uint64_t in) { return bound ? bound : in; }

/* Whether sk_length_at_end is the length itself. */
static bool is_exact(const struct sk_operation *op)
{
    return op->binding.rule != WIRE_OUTPUT_AT_MOST && op->binding.rule != WIRE_OUTPUT_UNPADDED;
}

/* delivering */

/* A result that did not fit is kept for the same call; anything else ends in the caller's buffer. */
static CK_RV settle(struct sk_operation *op, struct sk_sink *from, enum sk_step step, uint8_t *out, CK_ULONG *out_len)
{
    const CK_ULONG room = *out_len;

    *out_len = from->used;
    if (!from->own)
        return CKR_OK;
    if (from->used <= room) {
        if (from->used)
            memcpy(out, from->at, from->used);
        return CKR_OK;
    }
    op->result = from->at;
    op->result_length = from->used;
    op->result_of = step;
    from->at = NULL;
    return CKR_BUFFER_TOO_SMALL;
}

static CK_RV deliver(struct sk_operation *op, uint8_t *out, CK_ULONG *out_len, bool *delivered)
{
    const CK_ULONG room = *out_len;

    *delivered = false;
    *out_len = op->result_length;
    if (!out)
        return CKR_OK;
    if (room < op->result_length)
        return CKR_BUFFER_TOO_SMALL;
    memcpy(out, op->result, op->result_length);
    wire_wipe(op->result, op->result_length);
    free(op->result);
    op->result = NULL;
    op->result_of = SK_STEP_NONE;
    *delivered = true;
    return CKR_OK;
}

/* the functions */

bool sk_crypt_is_active(struct sk_session *s, enum wire_operation kind)
{
    return atomic_load_explicit(&s->phase[kind], memory_order_relaxed) != SK_IDLE;
}

/* Of a wrong parameter and a wrong key the key is told: a caller that only tries handles has no parameter. */
static CK_RV blame(struct sk_entry *e, CK_OBJECT_HANDLE key, CK_RV rv)
{
    CK_ULONG size;

    if (rv != CKR_MECHANISM_PARAM_INVALID || sk_object_size(e, key, &size) != CKR_OBJECT_HANDLE_INVALID)
        return rv;
    return CKR_KEY_HANDLE_INVALID;
}

/* Of an operation whose phase is this thread's and whose mechanism is packed, or could not be: `rv`. */
static CK_RV bind(struct sk_entry *e, enum wire_operation kind, CK_OBJECT_HANDLE key, CK_RV rv)
{
    struct sk_operation *op = &e->session->operations[kind];
    struct sk_bound *bound = &e->session->bound[kind];

    key = sk_former_check(e, key);
    if (rv == CKR_OK && kind != WIRE_DIGEST && !key)
        rv = CKR_KEY_HANDLE_INVALID;
    if (rv == CKR_OK && sk_digest_is_made_here(kind, op)) {
        sk_digest_begin_here(op);
    } else if (rv == CKR_OK) {
        rv = sk_bind(e, kind, key, &op->mechanism, bound);
        op->binding = bound->binding;
    } else if (kind != WIRE_DIGEST) {
        rv = blame(e, key, rv);
    }
    if (rv == CKR_OK) {
        op->key = key;
        op->login_waiting = op->binding.login_needed;
    } else {
        sk_operation_clear(op);
    }
    sk_phase_leave(e->session, kind, rv == CKR_OK ? SK_READY : SK_IDLE);
    return rv;
}

CK_RV sk_crypt_init(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    enum sk_phase seen;

    if (!m)
        return sk_crypt_is_active(e->session, kind) ? sk_crypt_cancel(e, kind) : CKR_ARGUMENTS_BAD;
    if (!sk_phase_enter(e->session, kind, SK_IDLE, &seen))
        return CKR_OPERATION_ACTIVE;
    return bind(e, kind, key, sk_mechanism_pack(m, can[kind], &e->session->operations[kind].mechanism));
}

CK_RV sk_crypt_init_packed(struct sk_entry *e, enum wire_operation kind, const struct sk_mechanism *m,
                           CK_OBJECT_HANDLE key)
{
    struct sk_operation *op = &e->session->operations[kind];
    enum sk_phase seen;

    if (!sk_phase_enter(e->session, kind, SK_IDLE, &seen))
        return CKR_OPERATION_ACTIVE;
    return bind(e, kind, key, sk_mechanism_copy(m, &op->mechanism) ? CKR_OK : CKR_HOST_MEMORY);
}

/* A whole operation. One that was interrupted between its pieces starts again once, unless its output has begun to
 * overwrite its input. */
static CK_RV run_whole(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in,
                       struct sk_sink *to)
{
    const bool apart = to->own || !in.data || to->at + to->room <= in.data || in.data + in.length <= to->at;
    CK_RV rv = sk_stream(e, kind, op, in, true, NULL, to);

    if (rv != CKR_DEVICE_REMOVED || !apart)
        return rv;
    op->number = op->in = op->out = 0;
    to->used = 0;
    return sk_stream(e, kind, op, in, true, NULL, to);
}

/* The end of an operation: all of it (SK_STEP_SINGLE), or what is left after its parts (SK_STEP_FINAL), without data. */
static CK_RV end(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, enum sk_step step, struct wire_bytes in,
                 uint8_t *out, CK_ULONG *out_len, bool *going)
{
    const uint64_t bound = sk_length_at_end(kind, op, in.length);
    struct sk_sink to;
    bool delivered;
    CK_RV rv = sk_step_check(op, step);

    if (rv != CKR_OK)
        return rv;
    *going = true;
    op->asked = op->asked || step == SK_STEP_SINGLE;
    if (op->result_of == step) {
        rv = deliver(op, out, out_len, &delivered);
        *going = !delivered;
        return rv;
    }
    if (!out || (is_exact(op) && *out_len < bound)) {
        rv = sk_length_check(kind, op, op->in + in.length);
        *going = rv == CKR_OK;
        *out_len = told(bound, in.length);
        return rv == CKR_OK && out ? CKR_BUFFER_TOO_SMALL : rv;
    }
    *going = false;
    rv = sk_sink_open(&to, out, *out_len, bound);
    if (rv == CKR_OK)
        rv = step == SK_STEP_SINGLE ? run_whole(e, kind, op, in, &to) : sk_stream(e, kind, op, in, true, NULL, &to);
    if (rv == CKR_OK)
        rv = settle(op, &to, step, out, out_len);
    sk_sink_close(&to);
    return rv;
}

static CK_RV check_input(enum wire_operation kind, const CK_BYTE *in, CK_ULONG in_len)
{
    if (sk_is_readable(in, in_len))
        return CKR_OK;
    if (!in)
        return CKR_ARGUMENTS_BAD;
    return kind == WIRE_DECRYPT ? CKR_ENCRYPTED_DATA_LEN_RANGE : CKR_DATA_LEN_RANGE;
}

/* Who asks for nothing but the length may leave out the data, and give its length alone. */
static CK_RV check_arguments(enum wire_operation kind, const CK_BYTE *in, CK_ULONG in_len, const CK_BYTE *out, const CK_ULONG *out_len)
{
    if (!out_len)
        return CKR_ARGUMENTS_BAD;
    return out ? check_input(kind, in, in_len) : CKR_OK;
}

CK_RV sk_crypt_single(struct sk_entry *e, enum wire_operation kind, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len)
{
    struct sk_operation *op;
    bool going = false;
    CK_RV rv = sk_operation_take(e->session, kind, &op);

    e->in = in_len;
    e->out = out_len;
    if (rv != CKR_OK)
        return rv;
    rv = check_arguments(kind, in, in_len, out, out_len);
    if (rv == CKR_OK)
        rv = end(e, kind, op, SK_STEP_SINGLE, (struct wire_bytes){in, in_len}, out, out_len, &going);
    return sk_operation_give_back(e, kind, op, rv, going);
}

static CK_RV update(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in,
                    uint8_t *out, CK_ULONG *out_len)
{
    const uint64_t bound = sk_length_of_update(kind, op, in.length);
    struct sk_sink to;
    bool delivered;
    CK_RV rv = sk_step_check(op, SK_STEP_UPDATE);

    if (rv != CKR_OK)
        return rv;
    op->parts = true;
    if (op->result_of == SK_STEP_UPDATE)
        return deliver(op, out, out_len, &delivered);
    if (!out && (kind == WIRE_ENCRYPT || kind == WIRE_DECRYPT)) {
        *out_len = told(bound, in.length);
        return sk_length_check_part(kind, op, in.length);
    }
    rv = sk_sink_open(&to, out, out ? *out_len : 0, bound);
    if (rv == CKR_OK && in.length)
        rv = sk_stream(e, kind, op, in, false, NULL, &to);
    if (rv == CKR_OK)
        rv = settle(op, &to, SK_STEP_UPDATE, out, out_len);
    sk_sink_close(&to);
    return rv;
}

CK_RV sk_crypt_update(struct sk_entry *e, enum wire_operation kind, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len)
{
    const bool gives = kind == WIRE_ENCRYPT || kind == WIRE_DECRYPT;
    struct sk_operation *op;
    CK_ULONG none = 0;
    CK_RV rv = sk_operation_take(e->session, kind, &op);

    e->in = in_len;
    e->out = out_len;
    if (rv != CKR_OK)
        return rv;
    rv = gives ? check_arguments(kind, in, in_len, out, out_len) : check_input(kind, in, in_len);
    if (rv == CKR_OK)
        rv = update(e, kind, op, (struct wire_bytes){in, in_len}, out, out_len ? out_len : &none);
    return sk_operation_give_back(e, kind, op, rv, true);
}

CK_RV sk_crypt_final(struct sk_entry *e, enum wire_operation kind, CK_BYTE *out, CK_ULONG *out_len)
{
    const struct wire_bytes nothing = {NULL, 0};
    struct sk_operation *op;
    bool going = false;
    CK_RV rv = sk_operation_take(e->session, kind, &op);

    e->out = out_len;
    if (rv != CKR_OK)
        return rv;
    rv = out_len ? end(e, kind, op, SK_STEP_FINAL, nothing, out, out_len, &going) : CKR_ARGUMENTS_BAD;
    return sk_operation_give_back(e, kind, op, rv, going);
}

CK_RV sk_crypt_cancel(struct sk_entry *e, enum wire_operation kind)
{
    struct sk_operation *op;
    CK_RV rv = sk_operation_take(e->session, kind, &op);

    if (rv == CKR_OPERATION_NOT_INITIALIZED)
        return CKR_OK;
    if (rv != CKR_OK)
        return CKR_OPERATION_CANCEL_FAILED;
    return sk_operation_give_back(e, kind, op, CKR_OK, false);
}

void sk_crypt_drop_all(struct sk_entry *e)
{
    for (int kind = WIRE_ENCRYPT; kind < WIRE_OPERATIONS; kind++)
        sk_crypt_cancel(e, (enum wire_operation)kind);
}

uint64_t sk_crypt_login_waiting(struct sk_session *s)
{
    struct sk_operation *op;
    uint64_t key = 0;

    for (enum wire_operation kind = WIRE_ENCRYPT; kind < WIRE_OPERATIONS && !key; kind++)
        if (sk_operation_take(s, kind, &op) == CKR_OK) {
            key = op->login_waiting ? op->key : 0;
            sk_phase_leave(s, kind, SK_READY);
        }
    return key;
}

void sk_crypt_login_done(struct sk_session *s, uint64_t key)
{
    struct sk_operation *op;

    for (enum wire_operation kind = WIRE_ENCRYPT; kind < WIRE_OPERATIONS; kind++)
        if (sk_operation_take(s, kind, &op) == CKR_OK) {
            op->login_waiting = op->login_waiting && op->key != key;
            sk_phase_leave(s, kind, SK_READY);
        }
}
