#include "peer_answers.h"

#include <stdlib.h>
#include <string.h>

enum { HELD_MAX = 1 << 20 };

bool peer_login_needed;

/* An operation in parts: what it must remember to answer FINAL. */
struct operation {
    uint64_t number;
    size_t in, out;
    uint8_t sum;
    bool finished;
    uint8_t held[HELD_MAX]; /* the input of an authenticated decryption */
};

/* Each reads its request to the end and writes the reply's body. */

void peer_read_place(struct wire_reader *r)
{
    if (wire_read_u64(r) != 0)
        peer_complain("place: a slot that is not 0");
    if (wire_read_u64(r) == 0)
        peer_complain("place: session 0");
    if (wire_read_u8(r) > 1)
        peer_complain("place: read-write is no boolean");
}

uint64_t peer_read_mechanism(struct wire_reader *r)
{
    uint64_t type = wire_read_u64(r);

    wire_read_bytes(r, WIRE_PARAMS_MAX);
    return type;
}

static uint16_t slots(struct wire_writer *w)
{
    wire_write_u32(w, 2);
    wire_write_u64(w, 0);
    wire_write_bytes(w, "first", 5);
    wire_write_u8(w, 1);
    wire_write_u64(w, CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_RNG);
    wire_write_bytes(w, "label", 5);
    wire_write_bytes(w, "maker", 5);
    wire_write_bytes(w, "model", 5);
    wire_write_bytes(w, "serial", 6);
    wire_write_u64(w, 4);
    wire_write_u64(w, 32);
    wire_write_u64(w, 9);
    wire_write_bytes(w, "empty", 5);
    wire_write_u8(w, 0);
    return STATUS_ok;
}

static uint16_t login(struct wire_reader *r)
{
    struct wire_bytes pin;

    wire_read_u64(r);
    wire_read_u64(r);
    pin = wire_read_bytes(r, WIRE_PIN_MAX);
    wire_read_u64(r);
    return pin.length == 4 && memcmp(pin.data, "1234", 4) == 0 ? STATUS_ok : STATUS_pin_incorrect;
}

static uint16_t bind_check(struct wire_reader *r, struct wire_writer *w)
{
    uint8_t operation;
    uint64_t key, mechanism;

    peer_read_place(r);
    operation = wire_read_u8(r);
    key = wire_read_u64(r);
    mechanism = peer_read_mechanism(r);
    if (key != PEER_KEY && operation != WIRE_DIGEST)
        return STATUS_key_handle_invalid;
    if (mechanism == CKM_RSA_PKCS && operation == WIRE_DECRYPT)
        wire_write_u8(w, WIRE_OUTPUT_AT_MOST), wire_write_u32(w, 256);
    else if (operation == WIRE_SIGN || operation == WIRE_VERIFY || operation == WIRE_DIGEST)
        wire_write_u8(w, WIRE_OUTPUT_FIXED), wire_write_u32(w, 32);
    else if (operation == WIRE_DECRYPT)
        wire_write_u8(w, WIRE_OUTPUT_UNPADDED), wire_write_u32(w, 0);
    else
        wire_write_u8(w, WIRE_OUTPUT_INPUT), wire_write_u32(w, PEER_TAG);
    wire_write_u32(w, CKK_AES);
    wire_write_u32(w, 256);
    wire_write_u8(w, peer_login_needed);
    return STATUS_ok;
}

static struct operation **slot_of(struct peer_client *c, uint64_t number) { return &c->operations[number % PEER_OPERATIONS]; }

static void drop(struct peer_client *c, uint64_t number)
{
    free(*slot_of(c, number));
    *slot_of(c, number) = NULL;
}

static struct operation *begin(struct peer_client *c, uint64_t number)
{
    drop(c, number);
    *slot_of(c, number) = calloc(1, sizeof(struct operation));
    (*slot_of(c, number))->number = number;
    return *slot_of(c, number);
}

/* Encryption is x ^ 0x5a with a tag of 16 sums; a signature or digest is 32 sums; RSA decryption gives ten bytes. */
static uint16_t work(struct operation *o, uint8_t kind, uint8_t flags, struct wire_bytes data, struct wire_bytes sign,
                     struct wire_writer *w)
{
    uint8_t *out = malloc(WIRE_BODY_MAX);
    size_t n = 0, plain;

    for (size_t i = 0; i < data.length; i++) {
        o->sum = (uint8_t)(o->sum + data.data[i]);
        if (kind == WIRE_ENCRYPT)
            out[n++] = data.data[i] ^ 0x5a;
        if (kind == WIRE_DECRYPT && o->in + i < HELD_MAX)
            o->held[o->in + i] = data.data[i] ^ 0x5a;
    }
    o->in += data.length;
    if (flags & (WIRE_FINAL | WIRE_MORE) && kind == WIRE_DECRYPT) {
        plain = o->in < PEER_TAG ? 0 : o->in - PEER_TAG;
        n = plain - o->out < WIRE_DATA_MAX ? plain - o->out : WIRE_DATA_MAX;
        memcpy(out, o->held + o->out, n);
        o->out += n;
    } else if (flags & WIRE_FINAL && kind != WIRE_VERIFY) {
        size_t tail = kind == WIRE_ENCRYPT ? PEER_TAG : 32;

        memset(out + n, o->sum, tail);
        n += tail;
    }
    wire_write_bytes(w, out, n);
    free(out);
    if (kind != WIRE_VERIFY || !(flags & WIRE_FINAL))
        return STATUS_ok;
    if (!sign.data)
        peer_complain("verify: FINAL without a signature");
    if (sign.length != 32)
        return STATUS_signature_len_range;
    return sign.data[0] == o->sum ? STATUS_ok : STATUS_signature_invalid;
}

static uint16_t operate(struct peer_client *c, struct wire_reader *r, struct wire_writer *w)
{
    uint8_t flags = wire_read_u8(r), kind = wire_read_u8(r);
    uint64_t number = wire_read_u64(r), mechanism = 0;
    struct wire_bytes data, signature;
    struct operation *o;
    uint16_t status;

    if (flags & WIRE_BEGIN) {
        peer_read_place(r);
        if (wire_read_u64(r) != PEER_KEY && kind != WIRE_DIGEST)
            peer_complain("operate: a key that bind_check refused");
        mechanism = peer_read_mechanism(r);
    }
    data = wire_read_bytes(r, WIRE_DATA_MAX);
    signature = wire_read_bytes(r, WIRE_DATA_MAX);
    if (signature.data && kind != WIRE_VERIFY)
        peer_complain("operate: a signature that is not to verify");
    if (flags & WIRE_CANCEL) {
        drop(c, number);
        wire_write_bytes(w, NULL, 0);
        return STATUS_ok;
    }
    if (mechanism == CKM_RSA_PKCS && kind == WIRE_DECRYPT) {
        wire_write_bytes(w, "tenletters", 10);
        return STATUS_ok;
    }
    o = flags & WIRE_BEGIN ? begin(c, number) : *slot_of(c, number);
    if (!o || o->number != number)
        return STATUS_operation_lost;
    if (o->finished != !!(flags & WIRE_MORE))
        peer_complain("operate: MORE belongs after FINAL, and nothing else does");
    o->finished = o->finished || flags & WIRE_FINAL;
    status = work(o, kind, flags, data, signature, w);
    if (status != STATUS_ok || (o->finished && (kind != WIRE_DECRYPT || o->out + PEER_TAG >= o->in)))
        drop(c, number);
    return status;
}

static uint16_t random_bytes(struct wire_reader *r, struct wire_writer *w)
{
    uint32_t length = wire_read_u32(r);
    uint8_t *bytes = calloc(1, length + 1);

    if (length > WIRE_DATA_MAX)
        peer_complain("random: too much");
    memset(bytes, 0xab, length);
    wire_write_bytes(w, bytes, length);
    free(bytes);
    return STATUS_ok;
}

static uint16_t mechanisms(struct wire_reader *r, struct wire_writer *w)
{
    wire_read_u64(r);
    wire_write_u32(w, 1);
    wire_write_u64(w, CKM_AES_GCM);
    wire_write_u64(w, CKF_ENCRYPT);
    wire_write_u64(w, 16);
    wire_write_u64(w, 32);
    return STATUS_ok;
}

static uint16_t hello(struct peer_client *c, struct wire_reader *r, struct wire_writer *w)
{
    if (c->greeted || wire_read_u32(r) != WIRE_VERSION)
        peer_complain("hello: twice, or of another version");
    wire_read_bytes(r, 64);
    c->greeted = true;
    wire_write_u32(w, WIRE_VERSION);
    wire_write_u64(w, 1);
    wire_write_u64(w, 1);
    wire_write_u32(w, WIRE_DATA_MAX);
    return STATUS_ok;
}

uint16_t peer_answer(struct peer_client *c, uint16_t type, struct wire_reader *r, struct wire_writer *w)
{
    if (!c->greeted && type != WIRE_hello)
        peer_complain("something came before hello");
    switch (type) {
    case WIRE_hello:
        return hello(c, r, w);
    case WIRE_slots:
        return slots(w);
    case WIRE_mechanisms:
        return mechanisms(r, w);
    case WIRE_login:
        return login(r);
    case WIRE_session_closed:
        wire_read_u64(r);
        /* fall through */
    case WIRE_logout:
        wire_read_u64(r);
        return STATUS_ok;
    case WIRE_bind_check:
        return bind_check(r, w);
    case WIRE_operate:
        return operate(c, r, w);
    case WIRE_ring:
        wire_read_u32(r);
        return STATUS_ring_absent;
    case WIRE_random:
        return random_bytes(r, w);
    case WIRE_find:
        return peer_find(r, w);
    case WIRE_get_attributes:
        return peer_get_attributes(r, w);
    case WIRE_object_size:
        return peer_object_size(r, w);
    case WIRE_create:
        return peer_create(r, w);
    case WIRE_generate_key:
        return peer_generate(r, w);
    default:
        peer_complain("a message that the test does not know");
        return STATUS_internal;
    }
}

void peer_forget(struct peer_client *c)
{
    for (uint64_t i = 0; i < PEER_OPERATIONS; i++)
        drop(c, i);
}
