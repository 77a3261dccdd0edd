#include "crypt.h"

#include "object.h"
#include "stream.h"

#include "../wire/digest_state.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t can[WIRE_OPERATIONS] = {
    [WIRE_ENCRYPT] = CAN_ENCRYPT, [WIRE_DECRYPT] = CAN_DECRYPT, [WIRE_SIGN] = CAN_SIGN,
    [WIRE_VERIFY] = CAN_VERIFY,   [WIRE_DIGEST] = CAN_DIGEST,   [WIRE_SIGN_RECOVER] = CAN_SIGN_RECOVER,
    [WIRE_VERIFY_RECOVER] = CAN_VERIFY_RECOVER,
};

/* taking an operation for one thread */

static bool enter_phase(struct sk_session *s, enum wire_operation kind, enum sk_phase from, enum sk_phase *seen)
{
    *seen = from;
    return atomic_compare_exchange_strong_explicit(&s->phase[kind], seen, SK_BUSY, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void leave_phase(struct sk_session *s, enum wire_operation kind, enum sk_phase to)
{
    atomic_store_explicit(&s->phase[kind], to, memory_order_release);
}

static CK_RV take(struct sk_session *s, enum wire_operation kind, struct sk_operation **out)
{
    enum sk_phase seen;
    bool taken = enter_phase(s, kind, SK_READY, &seen);

    *out = taken ? &s->operations[kind] : NULL;
    if (taken)
        return CKR_OK;
    return seen == SK_IDLE ? CKR_OPERATION_NOT_INITIALIZED : CKR_OPERATION_ACTIVE;
}

/* Gives the operation back. It lives on after success that left it `going`, and after CKR_BUFFER_TOO_SMALL. */
static CK_RV give_back(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, CK_RV rv, bool going)
{
    const bool ended = rv == CKR_BUFFER_TOO_SMALL ? false : rv != CKR_OK || !going;

    if (ended) {
        sk_stream_cancel(e, kind, op);
        sk_operation_clear(op);
    }
    leave_phase(e->session, kind, ended ? SK_IDLE : SK_READY);
    return rv;
}

/* lengths */

/* An upper bound of what is still to come once `more` bytes have gone in and that is all. */
static uint64_t bound_at_end(enum wire_operation kind, const struct sk_operation *op, uint64_t more)
{
    const uint64_t in = op->in + more;
    uint64_t all = wire_output_bound(op->binding.rule, op->binding.size, in);

    if (sk_is_gcm_decrypt(kind, op))
        all = in > op->mechanism.tag_bytes ? in - op->mechanism.tag_bytes : 0;
    return all > op->out ? all - op->out : 0;
}

/* The same for an Update: nothing can come out before it went in. */
static uint64_t bound_of_update(enum wire_operation kind, const struct sk_operation *op, uint64_t more)
{
    const enum wire_output_rule rule = op->binding.rule;

    if (rule == WIRE_OUTPUT_FIXED || rule == WIRE_OUTPUT_AT_MOST || sk_is_gcm_decrypt(kind, op))
        return 0;
    return op->in + more > op->out ? op->in + more - op->out : 0;
}

/* What a question for the length is told. Not 0 where data were given: a caller that allocates nothing (PyKCS11's empty
 * vector) would pass NULL again where it means to work, be taken to ask again, and lose its data. */
static uint64_t told(uint64_t bound, uint64_t in) { return bound ? bound : in; }

/* Whether bound_at_end is the length itself. */
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

/* What may not follow a single-part call that only asked for a length. C_SignFinal may: `pkcs11-tool --test-ec` does it. */
static bool ends_question(const struct sk_operation *op, enum sk_step step)
{
    return step == SK_STEP_UPDATE || (step == SK_STEP_FINAL && op->mechanism.row->flags & CAN_DIGEST);
}

/* What a call may not be, whatever its data: in the wrong order, or before its login. */
static CK_RV check_step(const struct sk_operation *op, enum sk_step step)
{
    if (op->login_waiting)
        return CKR_USER_NOT_LOGGED_IN;
    if (op->result_of != SK_STEP_NONE && op->result_of != step)
        return CKR_OPERATION_ACTIVE;
    if (step == SK_STEP_SINGLE)
        return op->parts ? CKR_OPERATION_ACTIVE : CKR_OK;
    return op->asked && ends_question(op, step) ? CKR_OPERATION_ACTIVE : CKR_OK;
}

/* Bytes of the caller's; a NULL pointer stands for none. */
static bool readable(const void *data, CK_ULONG length) { return data || !length; }

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

/* What the keeper would say of it (bind_check). */
static void bind_here(struct sk_operation *op)
{
    const size_t bytes = op->mechanism.row->type == CKM_SHA224 ? SHA224_BYTES : SHA256_BYTES;

    op->binding = (struct sk_binding){.rule = WIRE_OUTPUT_FIXED, .size = (uint32_t)bytes};
    sk_sha256_begin(&op->hash, bytes);
    op->here = true;
}

static bool is_made_here(enum wire_operation kind, const struct sk_operation *op)
{
    const uint64_t type = op->mechanism.row->type;

    return kind == WIRE_DIGEST && (type == CKM_SHA256 || type == CKM_SHA224) && sk_sha256_is_fast();
}

/* Of an operation whose phase is this thread's and whose mechanism is packed, or could not be: `rv`. */
static CK_RV bind(struct sk_entry *e, enum wire_operation kind, CK_OBJECT_HANDLE key, CK_RV rv)
{
    struct sk_operation *op = &e->session->operations[kind];
    struct sk_bound *bound = &e->session->bound[kind];

    if (rv == CKR_OK && kind != WIRE_DIGEST && !key)
        rv = CKR_KEY_HANDLE_INVALID;
    if (rv == CKR_OK && is_made_here(kind, op)) {
        bind_here(op);
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
    leave_phase(e->session, kind, rv == CKR_OK ? SK_READY : SK_IDLE);
    return rv;
}

CK_RV sk_crypt_init(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    enum sk_phase seen;

    if (!m)
        return sk_crypt_is_active(e->session, kind) ? sk_crypt_cancel(e, kind) : CKR_ARGUMENTS_BAD;
    if (!enter_phase(e->session, kind, SK_IDLE, &seen))
        return CKR_OPERATION_ACTIVE;
    return bind(e, kind, key, sk_mechanism_pack(m, can[kind], &e->session->operations[kind].mechanism));
}

CK_RV sk_crypt_init_packed(struct sk_entry *e, enum wire_operation kind, const struct sk_mechanism *m,
                           CK_OBJECT_HANDLE key)
{
    struct sk_operation *op = &e->session->operations[kind];
    enum sk_phase seen;

    if (!enter_phase(e->session, kind, SK_IDLE, &seen))
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

static CK_RV single(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in,
                    uint8_t *out, CK_ULONG *out_len, bool *going)
{
    const uint64_t bound = bound_at_end(kind, op, in.length);
    struct sk_sink to;
    bool delivered;
    CK_RV rv = check_step(op, SK_STEP_SINGLE);

    if (rv != CKR_OK)
        return rv;
    *going = true;
    op->asked = true;
    if (op->result_of == SK_STEP_SINGLE) {
        rv = deliver(op, out, out_len, &delivered);
        *going = !delivered;
        return rv;
    }
    if (!out || (is_exact(op) && *out_len < bound)) {
        *out_len = told(bound, in.length);
        return out ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    *going = false;
    rv = sk_sink_open(&to, out, *out_len, bound);
    if (rv == CKR_OK)
        rv = run_whole(e, kind, op, in, &to);
    if (rv == CKR_OK)
        rv = settle(op, &to, SK_STEP_SINGLE, out, out_len);
    sk_sink_close(&to);
    return rv;
}

CK_RV sk_crypt_single(struct sk_entry *e, enum wire_operation kind, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len)
{
    struct sk_operation *op;
    bool going = false;
    CK_RV rv = take(e->session, kind, &op);

    e->in = in_len;
    e->out = out_len;
    if (rv != CKR_OK)
        return rv;
    rv = readable(in, in_len) && out_len ? CKR_OK : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = single(e, kind, op, (struct wire_bytes){in, in_len}, out, out_len, &going);
    return give_back(e, kind, op, rv, going);
}

static CK_RV update(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in,
                    uint8_t *out, CK_ULONG *out_len)
{
    const uint64_t bound = bound_of_update(kind, op, in.length);
    struct sk_sink to;
    bool delivered;
    CK_RV rv = check_step(op, SK_STEP_UPDATE);

    if (rv != CKR_OK)
        return rv;
    op->parts = true;
    if (op->result_of == SK_STEP_UPDATE)
        return deliver(op, out, out_len, &delivered);
    if (!out && (kind == WIRE_ENCRYPT || kind == WIRE_DECRYPT)) {
        *out_len = told(bound, in.length);
        return CKR_OK;
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
    CK_RV rv = take(e->session, kind, &op);

    e->in = in_len;
    e->out = out_len;
    if (rv != CKR_OK)
        return rv;
    rv = readable(in, in_len) && (out_len || !gives) ? CKR_OK : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = update(e, kind, op, (struct wire_bytes){in, in_len}, out, out_len ? out_len : &none);
    return give_back(e, kind, op, rv, true);
}

static CK_RV final(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, uint8_t *out,
                   CK_ULONG *out_len, bool *going)
{
    const struct wire_bytes nothing = {NULL, 0};
    const uint64_t bound = bound_at_end(kind, op, 0);
    struct sk_sink to;
    bool delivered;
    CK_RV rv = check_step(op, SK_STEP_FINAL);

    if (rv != CKR_OK)
        return rv;
    *going = true;
    if (op->result_of == SK_STEP_FINAL) {
        rv = deliver(op, out, out_len, &delivered);
        *going = !delivered;
        return rv;
    }
    if (!out || (is_exact(op) && *out_len < bound)) {
        *out_len = bound;
        return out ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    *going = false;
    rv = sk_sink_open(&to, out, *out_len, bound);
    if (rv == CKR_OK)
        rv = sk_stream(e, kind, op, nothing, true, NULL, &to);
    if (rv == CKR_OK)
        rv = settle(op, &to, SK_STEP_FINAL, out, out_len);
    sk_sink_close(&to);
    return rv;
}

CK_RV sk_crypt_final(struct sk_entry *e, enum wire_operation kind, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_operation *op;
    bool going = false;
    CK_RV rv = take(e->session, kind, &op);

    e->out = out_len;
    if (rv != CKR_OK)
        return rv;
    rv = out_len ? final(e, kind, op, out, out_len, &going) : CKR_ARGUMENTS_BAD;
    return give_back(e, kind, op, rv, going);
}

static CK_RV verify(struct sk_entry *e, struct sk_operation *op, struct wire_bytes in, struct wire_bytes signature)
{
    struct sk_sink none = {0};
    CK_RV rv = sk_stream(e, WIRE_VERIFY, op, in, true, &signature, &none);

    if (rv != CKR_DEVICE_REMOVED || op->parts)
        return rv;
    op->number = op->in = op->out = 0;
    return sk_stream(e, WIRE_VERIFY, op, in, true, &signature, &none);
}

/* Of an operation that this thread has taken. */
static CK_RV verify_taken(struct sk_entry *e, struct sk_operation *op, struct wire_bytes in, struct wire_bytes signature,
                          bool last_only)
{
    CK_RV rv = check_step(op, last_only ? SK_STEP_FINAL : SK_STEP_SINGLE);

    if (rv == CKR_OK && !(readable(in.data, in.length) && readable(signature.data, signature.length)))
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK && signature.length > WIRE_SIGNATURE_MAX)
        rv = CKR_SIGNATURE_LEN_RANGE;
    if (!signature.data)
        signature.data = (const CK_BYTE *)"";
    return rv == CKR_OK ? verify(e, op, in, signature) : rv;
}

/* The verification of this session, if it has its signature already (`given`) or has not. */
static CK_RV take_verification(struct sk_entry *e, bool given, struct sk_operation **out)
{
    CK_RV rv = take(e->session, WIRE_VERIFY, out);

    if (rv != CKR_OK || ((*out)->signature != NULL) == given)
        return rv;
    leave_phase(e->session, WIRE_VERIFY, SK_READY);
    return CKR_OPERATION_NOT_INITIALIZED;
}

CK_RV sk_crypt_verify(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, const CK_BYTE *signature,
                      CK_ULONG signature_len, bool last_only)
{
    struct sk_operation *op;
    CK_RV rv = take_verification(e, false, &op);

    e->in = in_len;
    if (rv != CKR_OK)
        return rv;
    rv = verify_taken(e, op, (struct wire_bytes){in, in_len}, (struct wire_bytes){signature, signature_len}, last_only);
    return give_back(e, WIRE_VERIFY, op, rv, false);
}

CK_RV sk_crypt_verify_init(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, const CK_BYTE *signature,
                           CK_ULONG signature_len)
{
    struct sk_operation *op;
    CK_RV rv;

    if (m && !readable(signature, signature_len))
        return CKR_ARGUMENTS_BAD;
    if (m && signature_len > WIRE_SIGNATURE_MAX)
        return CKR_SIGNATURE_LEN_RANGE;
    rv = sk_crypt_init(e, WIRE_VERIFY, m, key);
    if (rv != CKR_OK || !m)
        return rv;
    rv = take(e->session, WIRE_VERIFY, &op);
    if (rv != CKR_OK)
        return rv;
    op->signature = malloc(signature_len + 1);
    op->signature_length = signature_len;
    if (op->signature && signature_len)
        memcpy(op->signature, signature, signature_len);
    return give_back(e, WIRE_VERIFY, op, op->signature ? CKR_OK : CKR_HOST_MEMORY, true);
}

CK_RV sk_crypt_verify_given(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, bool last_only)
{
    struct sk_operation *op;
    CK_RV rv = take_verification(e, true, &op);

    e->in = in_len;
    if (rv != CKR_OK)
        return rv;
    rv = verify_taken(e, op, (struct wire_bytes){in, in_len}, (struct wire_bytes){op->signature, op->signature_length},
                      last_only);
    return give_back(e, WIRE_VERIFY, op, rv, false);
}

bool sk_crypt_has_signature(struct sk_session *s)
{
    struct sk_operation *op;
    bool has;

    if (take(s, WIRE_VERIFY, &op) != CKR_OK)
        return false;
    has = op->signature != NULL;
    leave_phase(s, WIRE_VERIFY, SK_READY);
    return has;
}

void sk_crypt_keyed(struct sk_session *s)
{
    struct sk_operation *op;

    if (take(s, WIRE_DIGEST, &op) != CKR_OK)
        return;
    op->keyed = true;
    leave_phase(s, WIRE_DIGEST, SK_READY);
}

CK_RV sk_crypt_save(struct sk_entry *e, CK_BYTE *out, CK_ULONG *length)
{
    struct sk_sink to = {.at = out, .room = *length};
    struct sk_operation *op;
    CK_RV rv = take(e->session, WIRE_DIGEST, &op);

    if (rv != CKR_OK)
        return rv;
    if (op->keyed || op->result_of != SK_STEP_NONE || op->mechanism.row->engine != ENGINE_sha) {
        leave_phase(e->session, WIRE_DIGEST, SK_READY);
        return CKR_STATE_UNSAVEABLE;
    }
    rv = sk_stream_save(e, WIRE_DIGEST, op, &to);
    *length = to.used;
    return give_back(e, WIRE_DIGEST, op, rv, true);
}

CK_RV sk_crypt_restore(struct sk_entry *e, struct wire_bytes state)
{
    struct wire_digest_state read;
    struct sk_mechanism m = {0};
    struct sk_operation *op;
    CK_RV rv;

    if (!wire_digest_state_read(state, &read))
        return CKR_SAVED_STATE_INVALID;
    m.row = wire_mechanism_find(read.mechanism);
    if (!m.row || m.row->engine != ENGINE_sha)
        return CKR_SAVED_STATE_INVALID;
    m.params = (uint8_t *)(uintptr_t)state.data;
    m.length = state.length;
    m.shape = read.count + 1; /* no digest that begins anew has it */
    sk_crypt_drop_all(e);
    rv = sk_crypt_init_packed(e, WIRE_DIGEST, &m, 0);
    if (rv == CKR_OK && take(e->session, WIRE_DIGEST, &op) == CKR_OK) {
        op->parts = true;
        leave_phase(e->session, WIRE_DIGEST, SK_READY);
    }
    return rv == CKR_MECHANISM_PARAM_INVALID ? CKR_SAVED_STATE_INVALID : rv;
}

CK_RV sk_crypt_cancel(struct sk_entry *e, enum wire_operation kind)
{
    struct sk_operation *op;
    CK_RV rv = take(e->session, kind, &op);

    if (rv == CKR_OPERATION_NOT_INITIALIZED)
        return CKR_OK;
    if (rv != CKR_OK)
        return CKR_OPERATION_CANCEL_FAILED;
    return give_back(e, kind, op, CKR_OK, false);
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
        if (take(s, kind, &op) == CKR_OK) {
            key = op->login_waiting ? op->key : 0;
            leave_phase(s, kind, SK_READY);
        }
    return key;
}

void sk_crypt_login_done(struct sk_session *s, uint64_t key)
{
    struct sk_operation *op;

    for (enum wire_operation kind = WIRE_ENCRYPT; kind < WIRE_OPERATIONS; kind++)
        if (take(s, kind, &op) == CKR_OK) {
            op->login_waiting = op->login_waiting && op->key != key;
            leave_phase(s, kind, SK_READY);
        }
}
