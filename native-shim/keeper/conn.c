#include "conn.h"

#include <stdlib.h>
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

enum { AGENTS_MAX = 4 };

static int epoll_fd = -1;

void kp_conn_epoll(int fd) { epoll_fd = fd; }

void kp_conn_arm(struct kp_conn *conn)
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

/* That of the uid's other clients, or a new one. */
static struct kp_holder *take_holder(uid_t uid)
{
    struct kp_holder *holder = NULL;

    for (unsigned i = 0; i < KP_CONNECTIONS_MAX && !holder; i++)
        if (kp.conns[i] && kp.conns[i]->kind == KP_CLIENT && kp.conns[i]->peer.uid == uid)
            holder = kp.conns[i]->holder;
    if (!holder)
        holder = calloc(1, sizeof(*holder));
    if (holder)
        holder->connections++;
    return holder;
}

static void drop_holder(struct kp_holder *holder)
{
    if (holder && --holder->connections == 0)
        free(holder);
}

static struct kp_conn *enter(enum kp_kind kind, int fd, const struct kp_peer *peer)
{
    int slot = has_place(kind, peer->uid) ? free_slot() : -1;
    struct kp_conn *conn = slot < 0 ? NULL : calloc(1, sizeof(*conn));

    if (conn && kind == KP_CLIENT && !(conn->holder = take_holder(peer->uid))) {
        free(conn);
        conn = NULL;
    }
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
    kp_conn_drop_unsent(conn);
    kp_free(conn->part);
    kp_frame_release(KP_FRAMES_PARTIAL, conn->holder, conn->reserved);
    kp_lock();
    drop_holder(conn->holder);
    kp_unlock();
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
        if (!kp_conn_send_with(conn, fds, reply, length))
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
    kp_conn_arm(conn);
    pthread_mutex_unlock(&conn->lock);
}

static void feed(struct kp_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    if (conn->hungry) {
        conn->hungry = false;
        kp_hungry(-1);
        kp_conn_arm(conn);
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
