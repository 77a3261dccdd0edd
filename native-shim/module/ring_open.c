/* Getting a ring: asked for once per connection, right after its greeting, when nobody else reads it. */
#include "clock.h"
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RING_ID = 2, REPLY_BYTES = WIRE_HEADER_BYTES + 4, DESCRIPTORS = 2 };

/* What came with a reply; -1 where nothing did. Closes what is too much. */
static void take_descriptors(struct msghdr *m, int fds[DESCRIPTORS])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        size_t count = c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            if (i < DESCRIPTORS && fds[i] < 0)
                fds[i] = fd;
            else
                close(fd);
        }
    }
}

/* The reply is so short that it arrives in one piece. Returns its length, or -1. */
static ssize_t receive(struct sk_connection *c, int64_t deadline, uint8_t *reply, int fds[DESCRIPTORS])
{
    union {
        struct cmsghdr head;
        uint8_t bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec io = {reply, REPLY_BYTES};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct pollfd p = {.fd = c->socket.fd, .events = POLLIN};
    ssize_t got;

    while (poll(&p, 1, sk_ms_left(deadline)) < 0 && errno == EINTR)
        continue;
    got = recvmsg(c->socket.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got >= 0)
        take_descriptors(&m, fds);
    return got;
}

/* The memory is sealed, so neither side can shrink it and no access can fault. A child of fork does not inherit it. */
static struct ring_region *map(int fd)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    struct ring_region *region;
    struct stat file;
    void *at;

    if (!sk_file_of(fd, &file) || file.st_size != sizeof(*region) || (fcntl(fd, F_GET_SEALS) & seals) != seals)
        return NULL;
    at = mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return NULL;
    region = at;
    if (madvise(at, sizeof(*region), MADV_DONTFORK) == 0 && madvise(at, sizeof(*region), MADV_DONTDUMP) == 0 &&
        atomic_load(&region->version) == RING_VERSION && atomic_load(&region->slots) == RING_SLOTS)
        return region;
    munmap(at, sizeof(*region));
    return NULL;
}

/* Retired, so that nobody finds a slot before it lives. */
static struct sk_ring *new_ring(void)
{
    struct sk_ring *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    atomic_store(&r->dead, true);
    atomic_store(&r->retired, true);
    for (unsigned i = 0; i < RING_SLOTS; i++)
        atomic_store(&r->slots[i].holder, SK_HOLDER_THREAD);
    return r;
}

/* One that served an earlier connection and that nobody is in any more, or a new one. */
static struct sk_ring *find_or_make(struct sk_link *l)
{
    struct sk_ring *r;

    pthread_mutex_lock(&l->lock);
    for (r = l->rings; r; r = r->next)
        if (sk_ring_retire(r))
            break;
    if (!r && (r = new_ring())) {
        r->next = l->rings;
        l->rings = r;
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

/* In the place of the old one, which somebody who has no slot may be reading: there is no moment without a region. */
static void put(struct sk_ring *r, struct ring_region *region)
{
    struct ring_region *old = atomic_load(&r->region);
    void *at = MAP_FAILED;

    if (old)
        at = mremap(region, sizeof(*region), sizeof(*region), MREMAP_MAYMOVE | MREMAP_FIXED, old);
    if (at == MAP_FAILED)
        atomic_store(&r->region, region);
}

/* Only the one thread that connects is here. */
static struct sk_ring *make(struct sk_connection *c, struct sk_link *l, const int fds[DESCRIPTORS])
{
    struct ring_region *region = fds[0] >= 0 && fds[1] >= 0 ? map(fds[0]) : NULL;
    struct sk_ring *r = region ? find_or_make(l) : NULL;

    if (r && sk_descriptor_take(&r->bell, fds[1])) {
        r->socket = c->socket;
        put(r, region);
        return r;
    }
    if (region)
        munmap(region, sizeof(*region));
    if (!r && fds[1] >= 0)
        close(fds[1]);
    return NULL;
}

enum sk_io sk_ring_open(struct sk_connection *c, struct sk_link *l, int64_t deadline, struct sk_ring **out)
{
    const char *wanted = secure_getenv("SIDEKEY_RING");
    struct wire_header h = {.type = WIRE_ring, .id = RING_ID, .length = c->version >= 2 ? 4 : 0};
    const uint32_t version = RING_VERSION;
    uint8_t frame[REPLY_BYTES];
    int fds[DESCRIPTORS] = {-1, -1};
    ssize_t got;
    bool good;

    *out = NULL;
    if (wanted && strcmp(wanted, "0") == 0)
        return SK_IO_OK;
    wire_write_header(frame, &h);
    memcpy(frame + WIRE_HEADER_BYTES, &version, sizeof(version)); /* every host of ours is little-endian */
    if (sk_connection_send(c, frame, WIRE_HEADER_BYTES + h.length, deadline) != SK_IO_OK)
        return SK_IO_BROKEN;
    got = receive(c, deadline, frame, fds);
    good = got >= WIRE_HEADER_BYTES && wire_read_header(frame, &h) == 0 && got == (ssize_t)(WIRE_HEADER_BYTES + h.length) &&
           h.type == (WIRE_ring | WIRE_REPLY) && h.id == RING_ID;
    if (good && h.status == STATUS_ok)
        *out = make(c, l, fds);
    else if (fds[1] >= 0)
        close(fds[1]);
    if (fds[0] >= 0)
        close(fds[0]);
    return good ? SK_IO_OK : SK_IO_BROKEN;
}

void sk_ring_free(struct sk_ring *r)
{
    struct ring_region *region = atomic_load(&r->region);

    sk_ring_retire(r);
    if (region)
        munmap(region, sizeof(*region));
    free(r);
}
