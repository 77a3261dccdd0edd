#include "connection.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { IN_MAX = WIRE_HEADER_BYTES + WIRE_BODY_MAX };

static bool copy_path(struct sockaddr_un *to, const char *path)
{
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof(to->sun_path))
        return false;
    memcpy(to->sun_path, path, length + 1);
    return true;
}

/* SIDEKEY_SOCKET, else the user's own daemon when there is one, else the system's. The environment of a set-user-id
 * program is not asked. */
static bool find_socket(struct sockaddr_un *to)
{
    const char *path = secure_getenv("SIDEKEY_SOCKET");
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    char own[sizeof(to->sun_path)];
    int length;

    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path && *path)
        return copy_path(to, path);
    length = runtime && *runtime ? snprintf(own, sizeof(own), "%s/sidekey/pkcs11.sock", runtime) : -1;
    if (length > 0 && (size_t)length < sizeof(own) && access(own, F_OK) == 0)
        return copy_path(to, own);
    return copy_path(to, "/run/sidekey/pkcs11.sock");
}

/* A process that may have no such socket at all gets none later either. */
static bool is_barred(int why) { return why == EPERM || why == EACCES || why == EAFNOSUPPORT || why == ENOSYS; }

static enum sk_io reach(struct sk_connection *c, struct sk_absence *absence)
{
    struct sockaddr_un address;

    if (!find_socket(&address)) {
        *absence = (struct sk_absence){.why = ENAMETOOLONG};
        return SK_IO_ABSENT;
    }
    memcpy(absence->path, address.sun_path, sizeof(absence->path));
    if (!sk_descriptor_take(&c->socket, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))) {
        absence->why = errno;
        return is_barred(errno) ? SK_IO_BARRED : SK_IO_ABSENT;
    }
    if (connect(c->socket.fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return SK_IO_OK;
    absence->why = errno;
    return errno == ECONNREFUSED || errno == EAGAIN ? SK_IO_REFUSED : SK_IO_ABSENT;
}

enum sk_io sk_connection_open(struct sk_connection **out, struct sk_absence *absence)
{
    struct sk_connection *c = calloc(1, sizeof(*c));
    enum sk_io r;

    *out = NULL;
    *absence = (struct sk_absence){0};
    if (!c)
        return SK_IO_MEMORY;
    c->socket.fd = -1;
    c->in = malloc(IN_MAX);
    if (!c->in) {
        sk_connection_free(c);
        return SK_IO_MEMORY;
    }
    r = reach(c, absence);
    if (r != SK_IO_OK) {
        sk_connection_free(c);
        return r;
    }
    *out = c;
    return SK_IO_OK;
}

void sk_connection_free(struct sk_connection *c)
{
    if (!c)
        return;
    sk_descriptor_close(&c->socket);
    if (c->in)
        wire_wipe(c->in, c->have);
    free(c->in);
    free(c);
}

void sk_connection_hang_up(struct sk_connection *c)
{
    if (sk_descriptor_alive(&c->socket))
        shutdown(c->socket.fd, SHUT_RDWR);
}

static enum sk_io wait_for(struct sk_connection *c, short events, int64_t deadline)
{
    struct pollfd p = {.fd = c->socket.fd, .events = events};
    int n;

    do
        n = poll(&p, 1, sk_ms_left(deadline));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return SK_IO_TIMEOUT;
    return n < 0 || p.revents & POLLNVAL ? SK_IO_BROKEN : SK_IO_OK;
}

enum sk_io sk_connection_send(struct sk_connection *c, const uint8_t *frame, size_t length, int64_t deadline)
{
    enum sk_io r;

    while (length) {
        ssize_t n;

        /* key material may be in it: never into a file that the host put behind our number */
        if (!sk_descriptor_alive(&c->socket))
            return SK_IO_BROKEN;
        n = send(c->socket.fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            frame += n;
            length -= (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || errno != EAGAIN)
            return SK_IO_BROKEN;
        r = wait_for(c, POLLOUT, deadline);
        if (r != SK_IO_OK)
            return r;
    }
    return SK_IO_OK;
}

/* 1 with a frame, 0 when more must come, or an sk_io. */
static int take_frame(struct sk_connection *c, struct wire_header *h, uint8_t **body)
{
    size_t whole;

    *body = NULL;
    if (c->have < WIRE_HEADER_BYTES)
        return 0;
    if (wire_read_header(c->in, h) < 0)
        return SK_IO_BROKEN;
    whole = WIRE_HEADER_BYTES + h->length;
    if (c->have < whole)
        return 0;
    if (h->length) {
        *body = malloc(h->length);
        if (!*body)
            return SK_IO_MEMORY;
        memcpy(*body, c->in + WIRE_HEADER_BYTES, h->length);
    }
    memmove(c->in, c->in + whole, c->have - whole);
    wire_wipe(c->in + c->have - whole, whole);
    c->have -= whole;
    return 1;
}

/* Receives what is there. */
static enum sk_io fill(struct sk_connection *c, int64_t deadline)
{
    ssize_t n;

    if (!sk_descriptor_alive(&c->socket))
        return SK_IO_BROKEN;
    n = recv(c->socket.fd, c->in + c->have, IN_MAX - c->have, MSG_DONTWAIT);
    if (n > 0) {
        c->have += (size_t)n;
        return SK_IO_OK;
    }
    if (n < 0 && errno == EINTR)
        return SK_IO_OK;
    if (n == 0 || errno != EAGAIN)
        return SK_IO_BROKEN;
    return wait_for(c, POLLIN, deadline);
}

enum sk_io sk_connection_receive(struct sk_connection *c, int64_t deadline, struct wire_header *h, uint8_t **body)
{
    for (;;) {
        int got = take_frame(c, h, body);
        enum sk_io r;

        if (got)
            return got > 0 ? SK_IO_OK : (enum sk_io)got;
        r = fill(c, deadline);
        if (r != SK_IO_OK)
            return r;
    }
}
