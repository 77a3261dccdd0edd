#include "peer_answers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONNECTIONS = 256 };

uint16_t peer_status = STATUS_internal;

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

void peer_complain(const char *what)
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

/* False: hang up. */
static bool reply(struct peer_client *c, struct wire_header *h, uint8_t *frame, struct wire_writer *w, uint16_t status,
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

static bool serve_one(struct peer_client *c, uint8_t *in, uint8_t *out)
{
    struct wire_header h;
    struct wire_reader r;
    struct wire_writer w;
    enum peer_fault f;
    uint16_t status;

    if (!read_all(c->fd, in, WIRE_HEADER_BYTES))
        return false;
    if (wire_read_header(in, &h) < 0 || h.status || h.client || h.epoch || !h.id) {
        peer_complain("a header that no module writes");
        return false;
    }
    if (!read_all(c->fd, in, h.length))
        return false;
    wire_reader_init(&r, in, h.length);
    wire_writer_init(&w, out + WIRE_HEADER_BYTES, WIRE_BODY_MAX);
    status = peer_answer(c, h.type, &r, &w);
    if (!wire_reader_done(&r)) {
        printf("# type %#x\n", h.type);
        peer_complain("a request that does not end where its body ends");
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
    struct peer_client *c = arg;
    uint8_t *in = malloc(WIRE_BODY_MAX + WIRE_HEADER_BYTES), *out = malloc(WIRE_BODY_MAX + WIRE_HEADER_BYTES + 1);

    while (serve_one(c, in, out))
        continue;
    pthread_mutex_lock(&lock);
    close(c->fd);
    open_fds[c->index] = -1;
    pthread_mutex_unlock(&lock);
    peer_forget(c);
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
        struct peer_client *c = calloc(1, sizeof(*c));

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
