#include "ring.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TYPE_AT = 4,    /* in a header: behind the length */
    PASSED_MAX = 8, /* no request waits longer for the worker of its processor */
    NONE = RING_SLOTS
};

static atomic_uint rings, rings_max = UINT_MAX;

void kp_ring_limit(unsigned most) { atomic_store(&rings_max, most); }

/* Neither side can make it shorter than the other believes: no access can fault. */
static int sealed_memory(void)
{
    int fd = memfd_create("sidekey-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && ftruncate(fd, sizeof(struct ring_region)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static struct ring_region *map(int fd)
{
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct ring_region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct ring_region *region = at;

    if (at == MAP_FAILED)
        return NULL;
    atomic_store(&region->version, RING_VERSION);
    atomic_store(&region->slots, RING_SLOTS);
    return region;
}

int kp_ring_open(struct kp_ring **out, int *memfd)
{
    struct kp_ring *ring = calloc(1, sizeof(*ring));
    int error = EMFILE;

    if (!ring)
        return -ENOMEM;
    *memfd = ring->bell = -1;
    if (atomic_fetch_add(&rings, 1) < atomic_load(&rings_max)) {
        *memfd = sealed_memory();
        ring->region = map(*memfd);
        ring->bell = ring->region ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
        error = errno;
    }
    *out = ring;
    if (ring->bell >= 0)
        return 0;
    if (*memfd >= 0)
        close(*memfd);
    kp_ring_close(ring);
    return -error;
}

void kp_ring_close(struct kp_ring *ring)
{
    if (ring->region)
        munmap(ring->region, sizeof(*ring->region));
    if (ring->bell >= 0)
        close(ring->bell);
    free(ring);
    atomic_fetch_sub(&rings, 1);
}

void kp_ring_set_polled(struct kp_ring *ring, bool polled) { atomic_store(&ring->region->polled, polled); }
void kp_ring_set_epoch(struct kp_ring *ring, uint64_t epoch) { atomic_store(&ring->region->epoch, epoch); }

static uint64_t mark_of(const struct kp_ring *ring, size_t slot)
{
    return atomic_load_explicit(&ring->region->request[slot].mark, memory_order_acquire);
}

static bool is_new(const struct kp_ring *ring, unsigned slot, uint64_t mark)
{
    return ring_turn(mark) != atomic_load_explicit(&ring->seen[slot], memory_order_relaxed);
}

bool kp_ring_has_work(struct kp_ring *ring)
{
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < RING_SLOTS; i++)
        if (is_new(ring, i, mark_of(ring, i)))
            return true;
    return false;
}

/* The subject of what was copied behind its place, if it was left out; and notes it, if it was not. */
static size_t recall_subject(struct kp_subject *s, uint16_t *type, uint8_t *body, size_t length)
{
    if (*type == (WIRE_operate | RING_AGAIN)) {
        *type = WIRE_operate;
        memcpy(body, s->bytes, RING_SUBJECT_BYTES);
        return RING_SUBJECT_BYTES;
    }
    if (ring_has_subject(*type, body, length)) {
        memcpy(s->bytes, body, RING_SUBJECT_BYTES);
        s->known = true;
    }
    return 0;
}

/* The length of the body, or -1. */
static int copy_out(struct kp_ring *ring, unsigned slot, size_t all, uint16_t *type, uint8_t *body)
{
    const size_t in_line = RING_LINE_BYTES - RING_HEADER_BYTES;
    const uint8_t *line = ring->region->request[slot].head;
    struct kp_subject *subject = &ring->subjects[slot];
    size_t length = all - RING_HEADER_BYTES;
    uint8_t *at = body;

    if (all < RING_HEADER_BYTES || all > RING_FRAME_BYTES)
        return -1;
    memcpy(type, line, sizeof(*type));
    *type = le16toh(*type);
    if (*type & RING_AGAIN) {
        if (!subject->known || length > RING_BODY_MAX - RING_SUBJECT_BYTES)
            return -1;
        at += RING_SUBJECT_BYTES;
    }
    memcpy(at, line + RING_HEADER_BYTES, in_line);
    if (length > in_line)
        memcpy(at + in_line, ring->region->rest[slot], length - in_line);
    return (int)(length + recall_subject(subject, type, body, length));
}

/* What does not stand in the line sets out while the slot is taken. The length is the client's word: no more than the slot
 * has. */
static void expect(const struct kp_ring *ring, unsigned slot, size_t all)
{
    size_t length = all < RING_FRAME_BYTES ? all : RING_FRAME_BYTES;

    for (size_t at = RING_LINE_BYTES; at < length; at += sizeof(struct ring_line))
        __builtin_prefetch(&ring->region->rest[slot][at - RING_LINE_BYTES]);
}

/* Of two workers that see the same request one takes it; who comes later finds that it was seen. The mark is the client's: what
 * is read last counts. */
static bool take(struct kp_ring *ring, unsigned slot, size_t *length)
{
    uint64_t mark = mark_of(ring, slot);

    expect(ring, slot, ring_length(mark));
    if (atomic_exchange(&ring->held[slot], true))
        return false;
    mark = mark_of(ring, slot);
    *length = ring_length(mark);
    if (is_new(ring, slot, mark)) {
        atomic_store_explicit(&ring->seen[slot], ring_turn(mark), memory_order_relaxed);
        return true;
    }
    atomic_store(&ring->held[slot], false);
    return false;
}

static bool is_ready(const struct kp_ring *ring, unsigned slot, size_t later)
{
    return is_new(ring, slot, mark_of(ring, slot + later)) && !atomic_load_explicit(&ring->held[slot], memory_order_relaxed);
}

/* Whether its client sleeps where another worker may be: to wake it there interrupts that processor, which in a virtual machine
 * costs both sides as much as half a signature. What the client says of itself is a hint, and holds for so many times. */
static bool is_elsewhere(struct kp_ring *ring, unsigned slot)
{
    uint32_t asleep = atomic_load_explicit(&ring->region->waiting[slot], memory_order_relaxed);

    return asleep && asleep != (uint32_t)sched_getcpu() + 1 &&
           atomic_fetch_add_explicit(&ring->passed[slot], 1, memory_order_relaxed) < PASSED_MAX;
}

static unsigned choose(struct kp_ring *ring, unsigned first, size_t later, bool patient, size_t *length)
{
    unsigned passed = NONE;

    for (unsigned i = 0; i < RING_SLOTS; i++) {
        unsigned slot = (first + i) % RING_SLOTS;

        if (!is_ready(ring, slot, later))
            continue;
        if (is_elsewhere(ring, slot))
            passed = passed == NONE ? slot : passed;
        else if (take(ring, slot, length))
            return slot;
    }
    return passed != NONE && !patient && take(ring, passed, length) ? passed : NONE;
}

int kp_ring_take(struct kp_ring *ring, size_t later, bool patient, uint16_t *type, uint8_t *body, int *length)
{
    const unsigned first = atomic_load_explicit(&ring->next, memory_order_relaxed);
    size_t all;
    const unsigned slot = choose(ring, first, later, patient, &all);

    if (slot == NONE)
        return -1;
    if (slot != first)
        atomic_store_explicit(&ring->next, slot, memory_order_relaxed);
    *length = copy_out(ring, slot, all, type, body);
    return (int)slot;
}

void kp_ring_running(struct kp_ring *ring, unsigned slot)
{
    atomic_store(&ring->region->running[slot], atomic_load_explicit(&ring->seen[slot], memory_order_relaxed));
}

/* Not FUTEX_PRIVATE: the sleeper is in another process. */
static void wake(_Atomic uint64_t *mark) { syscall(SYS_futex, mark, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

struct kp_straight kp_ring_straight(const struct kp_ring *ring, unsigned slot)
{
    return (struct kp_straight){ring->region->rest[slot], 0};
}

static void write_reply(struct kp_ring *ring, unsigned slot, const uint8_t *frame, size_t body, size_t there)
{
    const size_t in_line = RING_LINE_BYTES - RING_HEADER_BYTES;
    struct ring_line *line = &ring->region->reply[slot];
    const uint8_t *at = frame + WIRE_HEADER_BYTES;
    uint32_t turn = atomic_load_explicit(&ring->seen[slot], memory_order_relaxed);

    if (body > in_line + there)
        memcpy(ring->region->rest[slot] + there, at + in_line + there, body - in_line - there);
    memcpy(line->head, frame + TYPE_AT, RING_HEADER_BYTES);
    memcpy(line->head + RING_HEADER_BYTES, at, body < in_line ? body : in_line);
    atomic_store(&line->mark, ring_mark(turn, RING_HEADER_BYTES + body));
}

/* The slot is held until its answer is there, so that a request which follows it is not taken before. A worker may have passed
 * that one over as held: one that goes to sleep asks kp_ring_has_work, which knows of no holding. */
void kp_ring_answer(struct kp_ring *ring, unsigned slot, const uint8_t *frame, size_t length, size_t there)
{
    bool sleeps;

    if (length < WIRE_HEADER_BYTES || length > WIRE_HEADER_BYTES + RING_BODY_MAX)
        abort();
    write_reply(ring, slot, frame, length - WIRE_HEADER_BYTES, there);
    sleeps = atomic_load(&ring->region->waiting[slot]) != 0;
    if (sleeps)
        atomic_store_explicit(&ring->passed[slot], 0, memory_order_relaxed);
    atomic_store_explicit(&ring->held[slot], false, memory_order_release);
    if (sleeps)
        wake(&ring->region->reply[slot].mark);
    if (sleeps)
        atomic_fetch_add_explicit(&ring->woke, 1, memory_order_relaxed);
    else if (atomic_load_explicit(&ring->woke, memory_order_relaxed))
        atomic_store_explicit(&ring->woke, 0, memory_order_relaxed);
}

void kp_ring_ring(struct kp_ring *ring)
{
    uint64_t one = 1;

    if (write(ring->bell, &one, sizeof(one)) < 0)
        return; /* full by the client's doing: it rings for itself */
}
