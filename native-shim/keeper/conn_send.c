#include "conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "arena.h"
#include "clock.h"
#include "ring.h"
#include "timer.h"

enum { OUT_MAX_CLIENT = KP_UNSENT_BYTES / 2, OUT_MAX_AGENT = 1024 * 1024 };

void (*kp_conn_sink)(struct kp_conn *conn, const uint8_t *frame, size_t length);

/* What waits for a client is bounded for all of them together; the agent has its own bound. */
static enum kp_frames use_of(const struct kp_conn *conn) { return conn->kind == KP_AGENT ? KP_FRAMES_PARKED : KP_FRAMES_UNSENT; }

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

    if (waiting + length > max || !kp_frame_reserve(use_of(conn), conn->holder, length))
        return -1;
    out = kp_alloc(waiting + length);
    if (!out) {
        kp_frame_release(use_of(conn), conn->holder, length);
        return -1;
    }
    if (waiting)
        memcpy(out, conn->out + conn->out_at, waiting);
    else
        wait_for_reader(conn);
    memcpy(out + waiting, bytes, length);
    kp_free(conn->out);
    kp_frame_release(use_of(conn), conn->holder, conn->out_at);
    conn->out = out;
    conn->out_length = waiting + length;
    conn->out_at = 0;
    kp_conn_arm(conn);
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

void kp_conn_answer(struct kp_conn *conn, unsigned slot, const uint8_t *frame, size_t length, size_t there)
{
    if (slot)
        kp_ring_answer(atomic_load(&conn->ring), slot - 1, frame, length, there);
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
    kp_conn_answer(conn, slot, frame, sizeof(frame), 0);
}

bool kp_conn_send_with(struct kp_conn *conn, const int fds[2], const uint8_t *frame, size_t length)
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

void kp_conn_drop_unsent(struct kp_conn *conn)
{
    if (conn->out) {
        kp_free(conn->out);
        kp_frame_release(use_of(conn), conn->holder, conn->out_length);
    }
    conn->out = NULL;
    conn->out_at = conn->out_length = 0;
    atomic_store(&conn->out_deadline, 0);
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
    kp_conn_drop_unsent(conn);
}

void kp_conn_flush(struct kp_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    if (conn->out)
        flush(conn);
    kp_conn_arm(conn);
    pthread_mutex_unlock(&conn->lock);
}
