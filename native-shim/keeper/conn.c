#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arena.h"
#include "binding.h"
#include "cell.h"
#include "clock.h"
#include "operation.h"
#include "park.h"
#include "ring.h"
#include "route.h"
#include "timer.h"

enum { OUT_MAX_CLIENT = KP_UNSENT_BYTES / 2, OUT_MAX_AGENT = 1024 * 1024, AGENTS_MAX = 4 };

void (*kp_conn_sink)(struct kp_conn *conn, const uint8_t *frame, size_t length);
static int epoll_fd = -1;

/* What waits for a client is bounded for all of them together; the agent has its own bound. */
static enum kp_frames use_of(const struct kp_conn *conn) { return conn->kind == KP_AGENT ? KP_FRAMES_PARKED : KP_FRAMES_UNSENT; }

void kp_conn_epoll(int fd) { epoll_fd = fd; }

/* conn->lock held. While bytes wait to go out nothing more is read. */
static void arm(struct kp_conn *conn)
{
    uint32_t events = conn->out ? EPOLLOUT : conn->reading || conn->hungry ? 0 : EPOLLIN;
    struct epoll_event e = {.events = events | EPOLLONESHOT, .data = {.u64 = conn->number}};

    if (conn->fd >= 0 && !conn->gone)
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &e);
}

/* One uid may not take all places. */
static bool has_place(enum kp_kind kind, uid_t uid)
{
    unsigned same = 0;

    for (unsigned i = 0; i < KP_CONNECTIONS_MAX; i++)
        same += kp.conns[i] && kp.conns[i]->kind == kind && (kind == KP_AGENT || kp.conns[i]->peer.uid == uid);
    if (kind == KP_AGENT)
        return same < AGENTS_MAX;
    return kp.clients < kp.max_clients && same < kp.max_clients - kp.max_clients / 4;
}

static int free_slot(void)
{
    for (unsigned i = 0; i < KP_CONNECTIONS_MAX; i++) {
        unsigned slot = (unsigned)((kp.connections + i) % KP_CONNECTIONS_MAX);

        if (!kp.conns[slot])
            return (int)slot;
    }
    return -1;
}

static struct kp_conn *enter(enum kp_kind kind, int fd, const struct kp_peer *peer)
{
    int slot = has_place(kind, peer->uid) ? free_slot() : -1;
    struct kp_conn *conn = slot < 0 ? NULL : calloc(1, sizeof(*conn));

    if (!conn)
        return NULL;
    conn->number = ++kp.connections * KP_CONNECTIONS_MAX + (unsigned)slot;
    conn->kind = kind;
    conn->refs = 1;
    conn->fd = fd;
    conn->peer = *peer;
    conn->epoch = 1;
    pthread_mutex_init(&conn->lock, NULL);
    kp.conns[slot] = conn;
    kp.clients += kind == KP_CLIENT;
    return conn;
}

struct kp_conn *kp_conn_new(enum kp_kind kind, int fd, const struct kp_peer *peer)
{
    struct kp_conn *conn;
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT};

    kp_lock();
    conn = enter(kind, fd, peer);
    if (conn && fd >= 0) {
        e.data.u64 = conn->number;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
    kp_unlock();
    return conn;
}

struct kp_conn *kp_conn_peek(uint64_t number)
{
    struct kp_conn *conn = kp.conns[number % KP_CONNECTIONS_MAX];

    return conn && conn->number == number ? conn : NULL;
}

struct kp_conn *kp_conn_take(uint64_t number)
{
    struct kp_conn *conn;

    kp_lock();
    conn = kp_conn_peek(number);
    if (conn)
        conn->refs++;
    kp_unlock();
    return conn;
}

static void destroy(struct kp_conn *conn)
{
    kp_frame_free(use_of(conn), conn->out, conn->out_length);
    kp_free(conn->part);
    kp_frame_release(KP_FRAMES_PARTIAL, conn->reserved);
    wire_wipe(conn->head, sizeof(conn->head));
    if (conn->ring)
        kp_ring_close(conn->ring);
    if (conn->fd >= 0)
        close(conn->fd);
    pthread_mutex_destroy(&conn->lock);
    free(conn);
}

void kp_conn_hold(struct kp_conn *conn)
{
    kp_lock();
    conn->refs++;
    kp_unlock();
}

void kp_conn_drop(struct kp_conn *conn)
{
    unsigned left;

    kp_lock();
    left = --conn->refs;
    kp_unlock();
    if (left == 0)
        destroy(conn);
}

/* kp_lock held. */
static void leave(struct kp_conn *conn)
{
    kp.conns[conn->number % KP_CONNECTIONS_MAX] = NULL;
    kp_bindings_drop_client(conn);
    kp_operations_drop_client(conn);
    kp_parked_drop_client(conn->number);
    kp_note_set(&conn->note, (struct wire_bytes){NULL, 0});
    if (conn->kind == KP_CLIENT) {
        kp.clients--;
        kp_cells_end_of(conn->number);
        if (conn->greeted)
            kp_event_client_closed(conn->number);
        else if (conn->version)
            kp_event_client_refused(conn);
    } else if (kp.agent == conn) {
        kp_agent_lost();
    }
    kp.idle_since = kp_now_ms();
    if (kp.linger_ms && kp.clients == 0 && !kp.agent)
        kp_timer_by(kp.idle_since + kp.linger_ms);
}

/* kp_lock held. The client has the bell as well, so that closing ours would not take it out of the set. */
static void take_bell(struct kp_conn *conn)
{
    struct kp_ring *ring = atomic_load(&conn->ring);

    if (!ring)
        return;
    atomic_store(&ring->dead, true);
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, ring->bell, NULL);
}

void kp_conn_close(struct kp_conn *conn)
{
    bool first;

    kp_lock();
    first = !conn->gone;
    if (first) {
        leave(conn);
        pthread_mutex_lock(&conn->lock);
        conn->gone = true;
        if (conn->hungry)
            kp_hungry(-1);
        conn->hungry = false;
        if (conn->fd >= 0) {
            epoll_ctl(epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
            take_bell(conn);
            shutdown(conn->fd, SHUT_RDWR);
        }
        pthread_mutex_unlock(&conn->lock);
    }
    kp_unlock();
    if (first)
        kp_conn_drop(conn);
}

/* conn->lock held. A client that reads nothing may not hold memory for ever; the agent may be stopped for as long as it likes. */
static void wait_for_reader(struct kp_conn *conn)
{
    uint64_t deadline = kp_now_ms() + WIRE_DEADLINE_MS;

    if (conn->kind == KP_AGENT)
        return;
    atomic_store(&conn->out_deadline, deadline);
    kp_timer_by(deadline);
}

/* conn->lock held. Keeps bytes until the socket takes them. */
static int queue(struct kp_conn *conn, const uint8_t *bytes, size_t length)
{
    size_t waiting = conn->out_length - conn->out_at, max = conn->kind == KP_AGENT ? OUT_MAX_AGENT : OUT_MAX_CLIENT;
    uint8_t *out;

    if (waiting + length > max || !kp_frame_reserve(use_of(conn), length))
        return -1;
    out = kp_alloc(waiting + length);
    if (!out) {
        kp_frame_release(use_of(conn), length);
        return -1;
    }
    if (waiting)
        memcpy(out, conn->out + conn->out_at, waiting);
    else
        wait_for_reader(conn);
    memcpy(out + waiting, bytes, length);
    kp_free(conn->out);
    kp_frame_release(use_of(conn), conn->out_at);
    conn->out = out;
    conn->out_length = waiting + length;
    conn->out_at = 0;
    arm(conn);
    return 0;
}

/* conn->lock held. What the socket takes now; an error shows again as a hang-up. */
static size_t send_now(struct kp_conn *conn, const uint8_t *bytes, size_t length)
{
    ssize_t sent = send(conn->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent >= 0)
        return (size_t)sent;
    return errno == EAGAIN || errno == EINTR ? 0 : length;
}

static int send_or_queue(struct kp_conn *conn, const uint8_t *frame, size_t length)
{
    size_t sent = conn->out ? 0 : send_now(conn, frame, length);

    if (sent == length || queue(conn, frame + sent, length - sent) == 0)
        return 0;
    if (sent)
        kp_conn_hang_up(conn); /* half a frame cannot be taken back */
    return -1;
}

int kp_conn_send(struct kp_conn *conn, const uint8_t *frame, size_t length)
{
    int sent = 0;

    if (conn->fd < 0) {
        if (kp_conn_sink)
            kp_conn_sink(conn, frame, length);
        return 0;
    }
    pthread_mutex_lock(&conn->lock);
    if (!conn->gone)
        sent = send_or_queue(conn, frame, length);
    pthread_mutex_unlock(&conn->lock);
    return sent;
}

void kp_conn_answer(struct kp_conn *conn, unsigned slot, const uint8_t *frame, size_t length)
{
    if (slot)
        kp_ring_answer(atomic_load(&conn->ring), slot - 1, frame, length);
    else if (kp_conn_send(conn, frame, length) != 0)
        kp_conn_hang_up(conn);
}

void kp_conn_reply(struct kp_conn *conn, unsigned slot, const struct wire_header *request, int status)
{
    uint8_t frame[WIRE_HEADER_BYTES];
    struct wire_header h = {.type = request->type | WIRE_REPLY, .status = (uint16_t)status, .id = request->id};

    if (conn->kind == KP_CLIENT)
        h.epoch = atomic_load(&conn->epoch);
    wire_write_header(frame, &h);
    kp_conn_answer(conn, slot, frame, sizeof(frame));
}

/* The first bytes of a stream may carry descriptors only if nothing waits before them. */
static bool send_with(struct kp_conn *conn, const int fds[2], const uint8_t *frame, size_t length)
{
    union {
        struct cmsghdr head;
        uint8_t bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec io = {(void *)(uintptr_t)frame, length};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    control.head = (struct cmsghdr){CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), fds, 2 * sizeof(int));
    return !conn->out && sendmsg(conn->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

int kp_conn_give_ring(struct kp_conn *conn, struct kp_ring *ring, int memfd, const uint8_t *reply, size_t length)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data = {.u64 = conn->number | KP_CONN_BELL}};
    const int fds[2] = {memfd, ring->bell};
    bool given = false;

    kp_lock();
    pthread_mutex_lock(&conn->lock);
    if (conn->fd >= 0 && !conn->gone && !conn->ring && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ring->bell, &e) == 0) {
        kp_ring_set_epoch(ring, atomic_load(&conn->epoch));
        atomic_store(&conn->ring, ring);
        given = true;
        if (!send_with(conn, fds, reply, length))
            kp_conn_hang_up(conn);
    }
    pthread_mutex_unlock(&conn->lock);
    kp_unlock();
    return given ? 0 : -1;
}

void kp_conn_hang_up(struct kp_conn *conn)
{
    if (conn->fd >= 0)
        shutdown(conn->fd, SHUT_RDWR);
}

bool kp_conn_begin_reading(struct kp_conn *conn)
{
    bool mine;

    pthread_mutex_lock(&conn->lock);
    mine = !conn->reading && !conn->out && !conn->gone;
    if (mine)
        conn->reading = true;
    pthread_mutex_unlock(&conn->lock);
    return mine;
}

void kp_conn_end_reading(struct kp_conn *conn, bool hungry)
{
    pthread_mutex_lock(&conn->lock);
    conn->reading = false;
    if (hungry && !conn->hungry && !conn->gone) {
        conn->hungry = true;
        kp_hungry(1);
    }
    arm(conn);
    pthread_mutex_unlock(&conn->lock);
}

/* conn->lock held. */
static void flush(struct kp_conn *conn)
{
    size_t sent = send_now(conn, conn->out + conn->out_at, conn->out_length - conn->out_at);

    conn->out_at += sent;
    if (conn->out_at < conn->out_length) {
        if (sent)
            wait_for_reader(conn);
        return;
    }
    kp_frame_free(use_of(conn), conn->out, conn->out_length);
    conn->out = NULL;
    conn->out_at = conn->out_length = 0;
    atomic_store(&conn->out_deadline, 0);
}

void kp_conn_flush(struct kp_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    if (conn->out)
        flush(conn);
    arm(conn);
    pthread_mutex_unlock(&conn->lock);
}

static void feed(struct kp_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    if (conn->hungry) {
        conn->hungry = false;
        kp_hungry(-1);
        arm(conn);
    }
    pthread_mutex_unlock(&conn->lock);
}

void kp_conns_feed(void)
{
    kp_lock();
    for (unsigned i = 0; i < KP_CONNECTIONS_MAX; i++)
        if (kp.conns[i])
            feed(kp.conns[i]);
    kp_unlock();
}

/* The earlier one of what has begun to come and of what waits to be read; 0: neither. */
static uint64_t deadline_of(const struct kp_conn *conn)
{
    uint64_t in = atomic_load(&conn->input_deadline), out = atomic_load(&conn->out_deadline);

    return !in || (out && out < in) ? out : in;
}

uint64_t kp_conn_expire(uint64_t now_ms)
{
    uint64_t next = 0;

    for (unsigned i = 0; i < KP_CONNECTIONS_MAX; i++) {
        uint64_t deadline = kp.conns[i] ? deadline_of(kp.conns[i]) : 0;

        if (!deadline)
            continue;
        if (deadline <= now_ms)
            kp_conn_hang_up(kp.conns[i]);
        else if (!next || deadline < next)
            next = deadline;
    }
    return next;
}
