#include "read.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "arena.h"

/* Of a body before hello or attach was answered: whoever can connect may send that much. */
enum { GREETING_MAX = 256 };

/* Fills `into` up to `wanted`. */
static enum kp_reading receive(int fd, uint8_t *into, size_t *have, size_t wanted)
{
    while (*have < wanted) {
        ssize_t got = recv(fd, into + *have, wanted - *have, MSG_DONTWAIT);

        if (got > 0)
            *have += (size_t)got;
        else if (got < 0 && errno == EINTR)
            continue;
        else
            return got < 0 && errno == EAGAIN ? KP_READ_PART : KP_READ_END;
    }
    return KP_READ_FRAME;
}

/* Keeps what has come of a body for the next event. */
static enum kp_reading keep_part(struct kp_conn *conn, const uint8_t *in, size_t have)
{
    uint8_t *part = NULL;

    if (have && !(part = kp_alloc(have)))
        return KP_READ_END;
    if (have)
        memcpy(part, in, have);
    kp_free(conn->part);
    conn->part = part;
    conn->part_length = have;
    return KP_READ_PART;
}

/* Only a body that may have to be kept needs memory: half frames of others do not stop one that has come whole. */
static bool reserve(struct kp_conn *conn, uint8_t *in, size_t length)
{
    if (conn->reserved || !length)
        return true;
    if (kp_frame_reserve(KP_FRAMES_PARTIAL, conn->holder, length))
        conn->reserved = length;
    return conn->reserved || recv(conn->fd, in, length, MSG_PEEK | MSG_DONTWAIT) == (ssize_t)length;
}

static enum kp_reading read_body(struct kp_conn *conn, uint8_t *in, size_t length)
{
    size_t have = conn->part_length;
    enum kp_reading result;

    if (!reserve(conn, in, length))
        return KP_READ_HUNGRY;
    if (have)
        memcpy(in, conn->part, have);
    result = receive(conn->fd, in, &have, length);
    if (result == KP_READ_PART)
        return have == conn->part_length ? KP_READ_PART : keep_part(conn, in, have);
    kp_free(conn->part);
    conn->part = NULL;
    conn->part_length = 0;
    kp_frame_release(KP_FRAMES_PARTIAL, conn->holder, conn->reserved);
    conn->reserved = 0;
    return result;
}

enum kp_reading kp_read_frame(struct kp_conn *conn, uint8_t *in, struct wire_header *h)
{
    enum kp_reading result = receive(conn->fd, conn->head, &conn->have, WIRE_HEADER_BYTES);

    if (result != KP_READ_FRAME)
        return result;
    if (wire_read_header(conn->head, h) != 0 || (!conn->greeted && h->length > GREETING_MAX))
        return KP_READ_END;
    result = read_body(conn, in, h->length);
    if (result == KP_READ_FRAME)
        conn->have = 0;
    return result;
}
