#include "ring.h"

#include <endian.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../wire/buffer.h"
#include "../wire/ring.h"

enum {
    SPIN_US = 100,          /* to wake a worker of the keeper, and have it answer, takes less where a processor is idle */
    PATIENCE_US = 2000,     /* the event loop stands still meanwhile */
    REST_FIRST_US = 4000,   /* after an answer that did not come in time, and twice as long after each further one */
    REST_MAX_US = 1000000,
    IN_LINE = RING_LINE_BYTES - RING_HEADER_BYTES,
    REPLY_BYTES = WIRE_HEADER_BYTES + 4,
    DESCRIPTORS = 2
};

struct ring {
    int socket, bell; /* -1: closed */
    struct ring_region *region; /* NULL: not given yet */
    struct slot {
        uint32_t turn;
        bool posted; /* and not answered: the slot is the keeper's */
        size_t dirty; /* of the slot's `rest`, what request and reply wrote */
    } slots[RING_SLOTS]; /* one call at a time uses as many as it has frames: JavaScript is one thread, and waits for them */
    unsigned next; /* slot for what is posted by itself; those before it are to be collected */
    int64_t rests_until, rest_us;
    bool alone; /* this process may use one processor */
};

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* opening */

static void shut(struct ring *r)
{
    if (r->region)
        munmap(r->region, sizeof(*r->region));
    if (r->bell >= 0)
        close(r->bell);
    if (r->socket >= 0)
        close(r->socket);
    r->region = NULL;
    r->socket = r->bell = -1;
}

static void finalize(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    shut(data);
    free(data);
}

static bool ask(struct ring *r, const struct sockaddr_un *to)
{
    struct wire_header h = {.type = WIRE_ring, .id = 1, .length = 4};
    const uint32_t version = htole32(RING_VERSION);
    uint8_t frame[WIRE_HEADER_BYTES + 4];

    wire_write_header(frame, &h);
    memcpy(frame + WIRE_HEADER_BYTES, &version, sizeof(version));
    r->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return r->socket >= 0 && connect(r->socket, (const struct sockaddr *)to, sizeof(*to)) == 0 &&
           send(r->socket, frame, sizeof(frame), MSG_NOSIGNAL) == (ssize_t)sizeof(frame);
}

napi_value peer_ring_open(napi_env env, napi_callback_info info)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct ring *r = calloc(1, sizeof(*r));
    cpu_set_t usable;
    napi_value given = NULL, result = NULL;
    size_t count = 1, length = 0;

    if (!r)
        return NULL;
    r->socket = r->bell = -1;
    r->alone = sched_getaffinity(0, sizeof(usable), &usable) == 0 && CPU_COUNT(&usable) == 1;
    if (napi_get_cb_info(env, info, &count, &given, NULL, NULL) == napi_ok && count == 1 &&
        napi_get_value_string_utf8(env, given, to.sun_path, sizeof(to.sun_path), &length) == napi_ok &&
        length < sizeof(to.sun_path) - 1 && ask(r, &to) &&
        napi_create_external(env, r, finalize, NULL, &result) == napi_ok)
        return result;
    shut(r);
    free(r);
    return napi_get_null(env, &result) == napi_ok ? result : NULL;
}

static struct ring_region *map(int fd)
{
    struct ring_region *region;
    void *at = mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        return NULL;
    region = at;
    if (madvise(at, sizeof(*region), MADV_DONTFORK) == 0 && madvise(at, sizeof(*region), MADV_DONTDUMP) == 0 &&
        atomic_load(&region->version) == RING_VERSION && atomic_load(&region->slots) == RING_SLOTS)
        return region;
    munmap(at, sizeof(*region));
    return NULL;
}

/* The descriptors of a reply, or -1 in both. */
static void take_descriptors(struct msghdr *m, int fds[DESCRIPTORS])
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(m);

    fds[0] = fds[1] = -1;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(DESCRIPTORS * sizeof(int)))
        memcpy(fds, CMSG_DATA(c), DESCRIPTORS * sizeof(int));
}

/* What the keeper has answered by now. A refusal closes the ring for good. */
static void receive(struct ring *r)
{
    union {
        struct cmsghdr head;
        uint8_t bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } control;
    uint8_t frame[REPLY_BYTES];
    struct iovec io = {frame, sizeof(frame)};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(r->socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct wire_header h;
    int fds[DESCRIPTORS];

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    m.msg_controllen = got < 0 ? 0 : m.msg_controllen;
    take_descriptors(&m, fds);
    if (got == REPLY_BYTES && wire_read_header(frame, &h) == 0 && h.type == (WIRE_ring | WIRE_REPLY) && h.status == 0 &&
        fds[0] >= 0)
        r->region = map(fds[0]);
    if (fds[0] >= 0)
        close(fds[0]);
    r->bell = fds[1];
    if (!r->region)
        shut(r);
}

/* asking */

static uint32_t answered(const struct ring *r, unsigned slot, size_t later)
{
    return ring_turn(atomic_load_explicit(&r->region->reply[slot + later].mark, memory_order_acquire));
}

static bool is_done(const struct ring *r, unsigned slot) { return answered(r, slot, 0) == r->slots[slot].turn; }

/* The slot is ours again. It may have held a plaintext, in the request or in the answer. */
static void wipe(struct ring *r, unsigned slot)
{
    wire_wipe(r->region->rest[slot], r->slots[slot].dirty);
    wire_wipe(r->region->request[slot].head, RING_LINE_BYTES);
    wire_wipe(r->region->reply[slot].head, RING_LINE_BYTES);
    r->slots[slot].dirty = 0;
    r->slots[slot].posted = false;
}

static size_t in_rest(size_t body) { return body > IN_LINE ? body - IN_LINE : 0; }

static void post(struct ring *r, unsigned slot, struct wire_bytes body)
{
    struct ring_line *line = &r->region->request[slot];
    struct slot *s = &r->slots[slot];
    const uint32_t head = htole32(WIRE_cell_operate_many);

    s->dirty = in_rest(body.length);
    memcpy(r->region->rest[slot], body.data + (body.length - s->dirty), s->dirty);
    memcpy(line->head, &head, sizeof(head));
    memcpy(line->head + RING_HEADER_BYTES, body.data, body.length - s->dirty);
    s->posted = true;
    atomic_store(&line->mark, ring_mark(++s->turn, RING_HEADER_BYTES + body.length));
}

static void wake_keeper(struct ring *r)
{
    const uint64_t one = 1;

    if (!atomic_load(&r->region->polled) && write(r->bell, &one, sizeof(one)) < 0)
        return; /* it is full: it has rung */
}

/* The keeper wakes for the first while the others are written; it may have gone to sleep again before the last. */
static void post_all(struct ring *r, const struct wire_bytes *bodies, unsigned count)
{
    for (unsigned slot = 0; slot < count; slot++) {
        post(r, slot, bodies[slot]);
        if (slot == 0 || slot + 1 == count)
            wake_keeper(r);
    }
}

/* A spin that learns, as a module's does, soon gave up here: its answers come too seldom to be found by short ones. With a single
 * processor it would only keep the keeper away. */
static bool spin(const struct ring *r, unsigned slot)
{
    const int64_t until = now_us() + (r->alone ? 0 : SPIN_US);

    do
        for (unsigned i = 0; i < 16; i++)
            if (answered(r, slot, ring_pause()) == r->slots[slot].turn)
                return true;
    while (now_us() < until);
    return is_done(r, slot);
}

static bool sleep_for_it(struct ring *r, unsigned slot, int64_t until)
{
    _Atomic uint64_t *mark = &r->region->reply[slot].mark;
    const int processor = sched_getcpu();
    int64_t left;

    atomic_store(&r->region->waiting[slot], processor < 0 ? 1 : (uint32_t)processor + 1);
    while (!is_done(r, slot) && (left = until - now_us()) > 0) {
        const struct timespec t = {.tv_nsec = left * 1000};

        syscall(SYS_futex, mark, FUTEX_WAIT, answered(r, slot, 0), &t, NULL, 0);
    }
    atomic_store(&r->region->waiting[slot], 0);
    return is_done(r, slot);
}

/* What was given up on before may have been answered since. */
static bool is_free(struct ring *r, unsigned slot)
{
    if (r->slots[slot].posted && is_done(r, slot))
        wipe(r, slot);
    return !r->slots[slot].posted;
}

static bool is_open(struct ring *r)
{
    if (!r->region && r->socket >= 0)
        receive(r);
    return r->region && now_us() >= r->rests_until;
}

static bool are_free(struct ring *r, unsigned count)
{
    for (unsigned slot = 0; slot < count; slot++)
        if (!is_free(r, slot))
            return false;
    return true;
}

/* Into private memory before it is looked at. */
static napi_value take(napi_env env, struct ring *r, unsigned slot)
{
    const struct ring_line *line = &r->region->reply[slot];
    struct slot *s = &r->slots[slot];
    size_t all = ring_length(atomic_load(&line->mark)), length = all - RING_HEADER_BYTES, rest;
    napi_value result = NULL;
    void *out = NULL;
    uint32_t head;

    memcpy(&head, line->head, sizeof(head));
    if (le32toh(head) != (WIRE_cell_operate_many | WIRE_REPLY) || all < RING_HEADER_BYTES || all > RING_FRAME_BYTES ||
        napi_create_buffer(env, length, &out, &result) != napi_ok)
        return NULL;
    rest = in_rest(length);
    memcpy(out, line->head + RING_HEADER_BYTES, length - rest);
    memcpy((uint8_t *)out + (length - rest), r->region->rest[slot], rest);
    if (rest > s->dirty)
        s->dirty = rest;
    return result;
}

/* NULL: it has not come in time. */
static napi_value await(napi_env env, struct ring *r, unsigned slot, int64_t until)
{
    napi_value result;

    if (!spin(r, slot) && !sleep_for_it(r, slot, until))
        return NULL;
    result = take(env, r, slot);
    wipe(r, slot);
    return result;
}

static void back_off(struct ring *r)
{
    r->rest_us = !r->rest_us ? REST_FIRST_US : 2 * r->rest_us < REST_MAX_US ? 2 * r->rest_us : REST_MAX_US;
    r->rests_until = now_us() + r->rest_us;
}

/* None is waited for any more once the time is over. */
static napi_value answers_of(napi_env env, struct ring *r, unsigned count)
{
    const int64_t until = now_us() + PATIENCE_US;
    napi_value answers = NULL, none = NULL;
    bool late = false;

    if (napi_create_array_with_length(env, count, &answers) != napi_ok || napi_get_null(env, &none) != napi_ok)
        return NULL;
    for (unsigned slot = 0; slot < count; slot++) {
        napi_value answer = r->slots[slot].posted ? await(env, r, slot, until) : NULL;

        if (napi_set_element(env, answers, slot, answer ? answer : none) != napi_ok)
            return NULL;
        late |= r->slots[slot].posted;
    }
    if (late)
        back_off(r);
    else
        r->rest_us = 0;
    return answers;
}

static struct ring *ring_of(napi_env env, napi_value value)
{
    void *data = NULL;

    return napi_get_value_external(env, value, &data) == napi_ok ? data : NULL;
}

/* How many, or 0: none, too many, or one too long. */
static unsigned bodies_of(napi_env env, napi_value list, struct wire_bytes bodies[RING_SLOTS])
{
    uint32_t count = 0;

    if (napi_get_array_length(env, list, &count) != napi_ok || count > RING_SLOTS)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        napi_value each = NULL;
        void *data = NULL;
        size_t length = 0;

        if (napi_get_element(env, list, i, &each) != napi_ok || napi_get_buffer_info(env, each, &data, &length) != napi_ok ||
            length > RING_BODY_MAX)
            return 0;
        bodies[i] = (struct wire_bytes){data, length};
    }
    return count;
}

napi_value peer_ring_call(napi_env env, napi_callback_info info)
{
    napi_value given[2] = {NULL, NULL}, result = NULL;
    struct wire_bytes bodies[RING_SLOTS];
    size_t arguments = 2;
    unsigned count;
    struct ring *r;

    if (napi_get_cb_info(env, info, &arguments, given, NULL, NULL) != napi_ok || arguments != 2)
        return NULL;
    r = ring_of(env, given[0]);
    count = r ? bodies_of(env, given[1], bodies) : 0;
    if (count && is_open(r) && are_free(r, count)) {
        post_all(r, bodies, count);
        result = answers_of(env, r, count);
    }
    return result || napi_get_null(env, &result) == napi_ok ? result : NULL;
}

napi_value peer_ring_post(napi_env env, napi_callback_info info)
{
    napi_value given[2] = {NULL, NULL}, result = NULL;
    size_t arguments = 2, length = 0;
    struct ring *r = NULL;
    void *data = NULL;
    bool posted;

    if (napi_get_cb_info(env, info, &arguments, given, NULL, NULL) == napi_ok && arguments == 2)
        r = ring_of(env, given[0]);
    posted = r && napi_get_buffer_info(env, given[1], &data, &length) == napi_ok && length <= RING_BODY_MAX && is_open(r) &&
             r->next < RING_SLOTS && is_free(r, r->next);
    if (posted) {
        post(r, r->next++, (struct wire_bytes){data, length});
        wake_keeper(r);
    }
    return napi_get_boolean(env, posted, &result) == napi_ok ? result : NULL;
}

/* Of a function that takes nothing else, or NULL. */
static struct ring *only_argument(napi_env env, napi_callback_info info)
{
    napi_value given = NULL;
    size_t count = 1;

    if (napi_get_cb_info(env, info, &count, &given, NULL, NULL) != napi_ok || count != 1)
        return NULL;
    return ring_of(env, given);
}

napi_value peer_ring_collect(napi_env env, napi_callback_info info)
{
    struct ring *r = only_argument(env, info);
    napi_value result = NULL;
    unsigned count;

    if (r) {
        count = r->next;
        r->next = 0;
        result = r->region ? answers_of(env, r, count) : NULL;
    }
    return result || napi_get_null(env, &result) == napi_ok ? result : NULL;
}

napi_value peer_ring_wake(napi_env env, napi_callback_info info)
{
    struct ring *r = only_argument(env, info);

    if (r && r->region)
        wake_keeper(r);
    return NULL;
}

napi_value peer_ring_close(napi_env env, napi_callback_info info)
{
    struct ring *r = only_argument(env, info);

    if (r)
        shut(r);
    return NULL;
}
