#include "peer.h"

#include "../../native-shim/wire/template.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { OPERATIONS = 64, CONNECTIONS = 256, HELD_MAX = 1 << 20 };

uint16_t peer_status = STATUS_internal;
bool peer_login_needed;
unsigned peer_objects = 5000;

static char path[108];
static int listener = -1;
static pthread_t accepting;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int open_fds[CONNECTIONS];
static pthread_t serving[CONNECTIONS];
static unsigned connections, complaints, counts[256];
static enum peer_fault fault;
static uint16_t faulty_type;
static uint64_t epoch = 1;

/* An operation in parts: what it must remember to answer FINAL. */
struct operation {
    uint64_t number;
    size_t in, out;
    uint8_t sum;
    bool finished;
    uint8_t held[HELD_MAX]; /* the input of an authenticated decryption */
};

struct client {
    int fd, index;
    bool greeted;
    struct operation *operations[OPERATIONS];
};

static void complain(const char *what)
{
    pthread_mutex_lock(&lock);
    complaints++;
    pthread_mutex_unlock(&lock);
    printf("# peer: %s\n", what);
}

static bool read_all(int fd, uint8_t *to, size_t length)
{
    while (length) {
        ssize_t n = read(fd, to, length);

        if (n <= 0)
            return false;
        to += n;
        length -= (size_t)n;
    }
    return true;
}

static void write_all(int fd, const uint8_t *from, size_t length)
{
    while (length) {
        ssize_t n = send(fd, from, length, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        from += n;
        length -= (size_t)n;
    }
}

/* answers: each reads its request to the end and writes the reply's body */

static void read_place(struct wire_reader *r)
{
    if (wire_read_u64(r) != 0)
        complain("place: a slot that is not 0");
    if (wire_read_u64(r) == 0)
        complain("place: session 0");
    if (wire_read_u8(r) > 1)
        complain("place: read-write is no boolean");
}

static uint64_t read_mechanism(struct wire_reader *r)
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

    read_place(r);
    operation = wire_read_u8(r);
    key = wire_read_u64(r);
    mechanism = read_mechanism(r);
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

static struct operation **slot_of(struct client *c, uint64_t number) { return &c->operations[number % OPERATIONS]; }

static void drop(struct client *c, uint64_t number)
{
    free(*slot_of(c, number));
    *slot_of(c, number) = NULL;
}

static struct operation *begin(struct client *c, uint64_t number)
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
        complain("verify: FINAL without a signature");
    if (sign.length != 32)
        return STATUS_signature_len_range;
    return sign.data[0] == o->sum ? STATUS_ok : STATUS_signature_invalid;
}

static uint16_t operate(struct client *c, struct wire_reader *r, struct wire_writer *w)
{
    uint8_t flags = wire_read_u8(r), kind = wire_read_u8(r);
    uint64_t number = wire_read_u64(r), mechanism = 0;
    struct wire_bytes data, signature;
    struct operation *o;
    uint16_t status;

    if (flags & WIRE_BEGIN) {
        read_place(r);
        if (wire_read_u64(r) != PEER_KEY && kind != WIRE_DIGEST)
            complain("operate: a key that bind_check refused");
        mechanism = read_mechanism(r);
    }
    data = wire_read_bytes(r, WIRE_DATA_MAX);
    signature = wire_read_bytes(r, WIRE_DATA_MAX);
    if (signature.data && kind != WIRE_VERIFY)
        complain("operate: a signature that is not to verify");
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
        complain("operate: MORE belongs after FINAL, and nothing else does");
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
        complain("random: too much");
    memset(bytes, 0xab, length);
    wire_write_bytes(w, bytes, length);
    free(bytes);
    return STATUS_ok;
}

static uint16_t find(struct wire_reader *r, struct wire_writer *w)
{
    struct wire_template t;
    uint64_t after;
    uint32_t n;

    read_place(r);
    after = wire_read_u64(r);
    wire_read_template(r, &t);
    n = peer_objects - after < 1000 ? (uint32_t)(peer_objects - after) : 1000;
    wire_write_u8(w, after + n < peer_objects);
    wire_write_u32(w, n);
    for (uint32_t i = 0; i < n; i++)
        wire_write_u64(w, after + i + 1);
    return STATUS_ok;
}

static void write_one(struct wire_writer *w, uint64_t type)
{
    bool known = type == CKA_LABEL || type == CKA_WRAP_TEMPLATE;
    size_t mark, inner;

    wire_write_u64(w, type);
    wire_write_u8(w, type == CKA_PRIVATE_EXPONENT ? WIRE_ATTRIBUTE_SENSITIVE
                     : type == CKA_VALUE          ? WIRE_ATTRIBUTE_MATERIAL
                     : known                      ? WIRE_ATTRIBUTE_VALUE
                                                  : WIRE_ATTRIBUTE_UNKNOWN);
    if (type == CKA_LABEL) {
        wire_write_bytes(w, "a key", 5);
    } else if (type == CKA_WRAP_TEMPLATE) {
        mark = wire_begin_bytes(w);
        inner = wire_begin_template(w);
        wire_write_attribute(w, CKA_ID, "id", 2);
        wire_end_template(w, inner, 1);
        wire_end_bytes(w, mark);
    } else {
        wire_write_absent(w);
    }
}

static uint16_t get_attributes(struct wire_reader *r, struct wire_writer *w)
{
    uint64_t handle;
    uint32_t count;
    size_t mark, inner;

    read_place(r);
    handle = wire_read_u64(r);
    count = wire_read_u32(r);
    if (count > WIRE_ATTRIBUTES_MAX)
        complain("get_attributes: too many");
    mark = wire_begin_bytes(w);
    inner = wire_begin_template(w);
    wire_write_attribute(w, CKA_VALUE, "secret", 6);
    wire_end_template(w, inner, 1);
    wire_end_bytes(w, mark);
    wire_write_u32(w, count);
    for (uint32_t i = 0; i < count && !r->bad; i++)
        write_one(w, wire_read_u64(r));
    return handle == PEER_KEY ? STATUS_ok : STATUS_object_handle_invalid;
}

static uint16_t object_size(struct wire_reader *r, struct wire_writer *w)
{
    read_place(r);
    wire_write_u64(w, 100);
    return wire_read_u64(r) == PEER_KEY ? STATUS_ok : STATUS_object_handle_invalid;
}

static uint16_t create(struct wire_reader *r, struct wire_writer *w)
{
    struct wire_bytes section = wire_read_bytes(r, WIRE_BODY_MAX);
    struct wire_reader inner;
    struct wire_template material, rest;

    wire_reader_init(&inner, section.data, section.length);
    wire_read_template(&inner, &material);
    read_place(r);
    wire_read_template(r, &rest);
    if (!wire_reader_done(&inner))
        complain("create: the material is no template");
    if (!wire_template_find(&material, CKA_VALUE) || wire_template_find(&rest, CKA_VALUE))
        complain("create: the value stands on the wrong side");
    wire_write_u64(w, 100);
    return STATUS_ok;
}

static uint16_t generate(struct wire_reader *r, struct wire_writer *w)
{
    struct wire_template t;

    read_place(r);
    read_mechanism(r);
    wire_read_template(r, &t);
    wire_write_u64(w, 101);
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

static uint16_t hello(struct client *c, struct wire_reader *r, struct wire_writer *w)
{
    if (c->greeted || wire_read_u32(r) != WIRE_VERSION)
        complain("hello: twice, or of another version");
    wire_read_bytes(r, 64);
    c->greeted = true;
    wire_write_u32(w, WIRE_VERSION);
    wire_write_u64(w, 1);
    wire_write_u64(w, 1);
    wire_write_u32(w, WIRE_DATA_MAX);
    return STATUS_ok;
}

static uint16_t answer(struct client *c, uint16_t type, struct wire_reader *r, struct wire_writer *w)
{
    if (!c->greeted && type != WIRE_hello)
        complain("something came before hello");
    switch (type) {
    case WIRE_hello:
        return hello(c, r, w);
    case WIRE_slots:
        return slots(w);
    case WIRE_mechanisms:
        return mechanisms(r, w);
    case WIRE_login:
        return login(r);
    case WIRE_logout:
        wire_read_u64(r);
        return STATUS_ok;
    case WIRE_session_closed:
        wire_read_u64(r);
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
        return find(r, w);
    case WIRE_get_attributes:
        return get_attributes(r, w);
    case WIRE_object_size:
        return object_size(r, w);
    case WIRE_create:
        return create(r, w);
    case WIRE_generate_key:
        return generate(r, w);
    default:
        complain("a message that the test does not know");
        return STATUS_internal;
    }
}

/* False: hang up. */
static bool reply(struct client *c, struct wire_header *h, uint8_t *frame, struct wire_writer *w, uint16_t status,
                  enum peer_fault f)
{
    size_t length = status == STATUS_ok ? wire_written(w) : 0;
    uint64_t id = h->id;

    if (f == PEER_SILENT)
        return true;
    if (f == PEER_HANG_UP)
        return false;
    if (f == PEER_STATUS) {
        status = peer_status;
        length = 0;
    }
    if (f == PEER_SHORT && length)
        length--;
    if (f == PEER_LONG)
        frame[WIRE_HEADER_BYTES + length++] = 0;
    if (f == PEER_GARBAGE) {
        memset(frame, 0xff, WIRE_HEADER_BYTES);
        write_all(c->fd, frame, WIRE_HEADER_BYTES);
        return true;
    }
    *h = (struct wire_header){.length = (uint32_t)length, .type = h->type | WIRE_REPLY, .status = status, .id = id};
    pthread_mutex_lock(&lock);
    h->epoch = f == PEER_NEW_EPOCH ? ++epoch : epoch;
    pthread_mutex_unlock(&lock);
    if (f == PEER_WRONG_TYPE)
        h->type = WIRE_REPLY | WIRE_shutdown;
    if (f == PEER_WRONG_ID) {
        h->id = id + 1000000;
        wire_write_header(frame, h);
        write_all(c->fd, frame, WIRE_HEADER_BYTES + length);
        h->id = id;
    }
    wire_write_header(frame, h);
    write_all(c->fd, frame, WIRE_HEADER_BYTES + length);
    return true;
}

static bool serve_one(struct client *c, uint8_t *in, uint8_t *out)
{
    struct wire_header h;
    struct wire_reader r;
    struct wire_writer w;
    enum peer_fault f;
    uint16_t status;

    if (!read_all(c->fd, in, WIRE_HEADER_BYTES))
        return false;
    if (wire_read_header(in, &h) < 0 || h.status || h.client || h.epoch || !h.id) {
        complain("a header that no module writes");
        return false;
    }
    if (!read_all(c->fd, in, h.length))
        return false;
    wire_reader_init(&r, in, h.length);
    wire_writer_init(&w, out + WIRE_HEADER_BYTES, WIRE_BODY_MAX);
    status = answer(c, h.type, &r, &w);
    if (!wire_reader_done(&r)) {
        printf("# type %#x\n", h.type);
        complain("a request that does not end where its body ends");
    }
    pthread_mutex_lock(&lock);
    counts[h.type & 0xff]++;
    f = h.type != WIRE_hello && (!faulty_type || faulty_type == h.type) ? fault : PEER_SOUND;
    if (f == PEER_HANG_UP)
        fault = PEER_SOUND;
    pthread_mutex_unlock(&lock);
    return reply(c, &h, out, &w, status, f);
}

static void *serve(void *arg)
{
    struct client *c = arg;
    uint8_t *in = malloc(WIRE_BODY_MAX + WIRE_HEADER_BYTES), *out = malloc(WIRE_BODY_MAX + WIRE_HEADER_BYTES + 1);

    while (serve_one(c, in, out))
        continue;
    pthread_mutex_lock(&lock);
    close(c->fd);
    open_fds[c->index] = -1;
    pthread_mutex_unlock(&lock);
    for (uint64_t i = 0; i < OPERATIONS; i++)
        drop(c, i);
    free(in);
    free(out);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        struct client *c = calloc(1, sizeof(*c));

        pthread_mutex_lock(&lock);
        c->fd = fd;
        c->index = (int)connections++;
        open_fds[c->index] = fd;
        pthread_create(&serving[c->index], NULL, serve, c);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

void peer_start(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(path, sizeof(path), "/tmp/sidekey-peer-%d.sock", (int)getpid());
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 64) < 0)
        abort();
    setenv("SIDEKEY_SOCKET", path, 1);
    pthread_create(&accepting, NULL, accept_all, NULL);
}

void peer_stop(void)
{
    unsigned n;

    unlink(path);
    shutdown(listener, SHUT_RDWR);
    pthread_join(accepting, NULL);
    close(listener);
    pthread_mutex_lock(&lock);
    n = connections;
    for (unsigned i = 0; i < n; i++)
        if (open_fds[i] >= 0)
            shutdown(open_fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < n; i++)
        pthread_join(serving[i], NULL);
    connections = 0;
}

void peer_misbehave(enum peer_fault f, uint16_t type)
{
    pthread_mutex_lock(&lock);
    fault = f;
    faulty_type = type;
    pthread_mutex_unlock(&lock);
}

unsigned peer_count(uint16_t type)
{
    unsigned n;

    pthread_mutex_lock(&lock);
    n = counts[type & 0xff];
    counts[type & 0xff] = 0;
    pthread_mutex_unlock(&lock);
    return n;
}

unsigned peer_connections(void)
{
    unsigned n;

    pthread_mutex_lock(&lock);
    n = connections;
    pthread_mutex_unlock(&lock);
    return n;
}

unsigned peer_complaints(void)
{
    unsigned n;

    pthread_mutex_lock(&lock);
    n = complaints;
    pthread_mutex_unlock(&lock);
    return n;
}

/* TAP */

static unsigned tests, failures;

void ok(bool good, const char *name)
{
    printf("%sok %u - %s\n", good ? "" : "not ", ++tests, name);
    failures += !good;
    fflush(stdout);
}

void is(unsigned long got, unsigned long wanted, const char *name)
{
    ok(got == wanted, name);
    if (got != wanted)
        printf("# got %#lx, wanted %#lx\n", got, wanted);
}

int done_testing(void)
{
    printf("1..%u\n", tests);
    return failures != 0;
}

CK_FUNCTION_LIST *module_list(void)
{
    CK_FUNCTION_LIST *list = NULL;

    C_GetFunctionList(&list);
    return list;
}

CK_SESSION_HANDLE module_session(void)
{
    CK_SESSION_HANDLE session = 0;
    CK_FUNCTION_LIST *f = module_list();

    f->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    return session;
}

long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
