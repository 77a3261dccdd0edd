#include "ring.h"

#include "clock.h"
#include "link.h"

#include <endian.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLOT_WAIT_MS = 1000, LOOK_MIN_NS = 1000000, LOOK_EACH_NS = 500000, LOOK_MAX_NS = 8000000, IN_LINE = RING_LINE_BYTES - RING_HEADER_BYTES };

/* Shared: the keeper is another process. */
static void wake(_Atomic uint64_t *mark, int how_many) { syscall(SYS_futex, mark, FUTEX_WAKE, how_many, NULL, NULL, 0); }

void sk_ring_kill(struct sk_ring *r)
{
    struct ring_region *region;

    /* Descriptors like the bell have one inode in common, so that its own cannot tell whether the host closed the number and
     * opened something else behind it; the socket's can. */
    r->bell_is_ours = sk_descriptor_alive(&r->socket);
    atomic_store(&r->dead, true);
    region = atomic_load(&r->region);
    for (unsigned i = 0; i < RING_SLOTS; i++)
        if (atomic_load(&region->waiting[i]))
            wake(&region->reply[i].mark, INT_MAX);
    sk_ring_retire(r);
}

void sk_ring_forget(struct sk_ring *r)
{
    if (sk_descriptor_alive(&r->socket))
        sk_descriptor_close(&r->bell);
}

/* The generation is looked at again: a region that took the place of the first one belongs to a later one. */
bool sk_ring_epoch(struct sk_link *l, uint64_t *generation, uint64_t *epoch)
{
    struct sk_ring *r = atomic_load(&l->ring);

    if (!r)
        return false;
    *generation = atomic_load(&r->generation);
    *epoch = atomic_load(&atomic_load(&r->region)->epoch);
    return !atomic_load(&r->dead) && atomic_load(&r->generation) == *generation;
}

uint64_t sk_ring_epoch_in(const struct sk_ring *r)
{
    return atomic_load(&atomic_load(&r->region)->epoch);
}

bool sk_ring_hung_up(const struct sk_ring *r)
{
    struct pollfd p = {.fd = r->socket.fd, .events = POLLRDHUP};

    if (atomic_load(&r->dead) || !sk_descriptor_alive(&r->socket))
        return true;
    return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL);
}

/* slots */

static bool is_answered(const struct sk_ring *r, unsigned slot)
{
    const struct ring_region *region = atomic_load_explicit(&r->region, memory_order_relaxed);

    return ring_turn(atomic_load_explicit(&region->reply[slot].mark, memory_order_acquire)) == r->slots[slot].turn;
}

/* Whether the keeper has answered is looked at as the holder: before, it may be another request by the time that one holds it. */
static bool claim(struct sk_ring *r, unsigned slot)
{
    _Atomic uint32_t *holder = &r->slots[slot].holder;
    uint32_t seen = atomic_load_explicit(holder, memory_order_relaxed);

    if (seen == SK_HOLDER_THREAD || !atomic_compare_exchange_strong(holder, &seen, SK_HOLDER_THREAD))
        return false;
    if (seen == SK_HOLDER_NONE || is_answered(r, slot))
        return true;
    atomic_store_explicit(holder, SK_HOLDER_KEEPER, memory_order_release);
    return false;
}

static int claim_any(struct sk_ring *r, uint64_t home)
{
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        unsigned slot = (unsigned)((home + i) % RING_SLOTS);

        if (claim(r, slot))
            return (int)slot;
    }
    return -1;
}

/* A while that grows with those who wait, since each that wakes takes the processor from who works. */
static void wait_for_slot(const struct sk_ring *r)
{
    const long all = LOOK_EACH_NS * (long)atomic_load_explicit(&r->queued, memory_order_relaxed);
    const long least = all < LOOK_MIN_NS ? LOOK_MIN_NS : all;
    const struct timespec pause = {.tv_nsec = least < LOOK_MAX_NS ? least : LOOK_MAX_NS};

    nanosleep(&pause, NULL);
}

/* More threads than slots: they look again after a while rather than take the slower socket. Nobody wakes them: a slot that is
 * given back is mostly taken again by the same thread before another could run. */
static int claim_later(struct sk_ring *r, uint64_t home)
{
    int64_t until = sk_now_ms() + SLOT_WAIT_MS;
    int slot = -1;

    atomic_fetch_add_explicit(&r->queued, 1, memory_order_relaxed);
    while (slot < 0 && !atomic_load(&r->dead) && sk_now_ms() < until) {
        wait_for_slot(r);
        slot = claim_any(r, home);
    }
    atomic_fetch_sub_explicit(&r->queued, 1, memory_order_relaxed);
    return slot;
}

static void unclaim(struct sk_ring *r, unsigned slot, enum sk_holder next)
{
    atomic_store_explicit(&r->slots[slot].holder, next, memory_order_release);
    if (atomic_load_explicit(&r->dead, memory_order_acquire))
        sk_ring_retire(r);
}

/* A slot of the link's ring, or -1. It died before the slot was had: nobody may use its region, which may be replaced. */
static int hold(struct sk_link *l, uint64_t home, bool waits, struct sk_ring **out)
{
    struct sk_ring *r = atomic_load(&l->ring);
    int slot = r ? claim_any(r, home) : -1;

    if (r && slot < 0 && waits)
        slot = claim_later(r, home);
    *out = r;
    if (slot < 0 || !atomic_load(&r->dead))
        return slot;
    unclaim(r, (unsigned)slot, SK_HOLDER_NONE);
    return -1;
}

void sk_ring_begin(struct sk_turn *t)
{
    t->at = 0;
    t->again = false;
}

static bool enter(struct sk_link *l, uint64_t home, bool waits, struct sk_turn *t)
{
    struct sk_ring *r;
    int slot = hold(l, home, waits, &r);

    if (slot < 0)
        return false;
    t->ring = r;
    t->slot = (unsigned)slot;
    t->region = atomic_load_explicit(&r->region, memory_order_relaxed);
    sk_ring_begin(t);
    t->posted = t->sleeps = false;
    t->deadline = 0;
    return true;
}

bool sk_ring_enter(struct sk_link *l, uint64_t home, struct sk_turn *t) { return enter(l, home, true, t); }
bool sk_ring_enter_now(struct sk_link *l, uint64_t home, struct sk_turn *t) { return enter(l, home, false, t); }

/* A slot that the keeper may still write into is not free: it is taken back when it is answered. */
void sk_ring_leave(struct sk_turn *t) { unclaim(t->ring, t->slot, t->posted ? SK_HOLDER_KEEPER : SK_HOLDER_NONE); }

/* In this order: a keeper that is there now was there when the epoch was read, and no change had been answered without it. With a
 * slot, so that the socket is still the one that belongs to it. */
bool sk_ring_alive(struct sk_link *l, uint64_t *generation, uint64_t *epoch)
{
    struct sk_ring *r;
    int slot = hold(l, 0, false, &r);
    bool alive;

    if (slot < 0)
        return false;
    alive = sk_ring_epoch(l, generation, epoch) && !sk_ring_hung_up(r);
    unclaim(r, (unsigned)slot, SK_HOLDER_NONE);
    return alive;
}

/* ending */

/* How many could be had, and what they were. */
static unsigned claim_all(struct sk_ring *r, uint32_t before[RING_SLOTS])
{
    unsigned had = 0;

    for (; had < RING_SLOTS; had++) {
        before[had] = atomic_load(&r->slots[had].holder);
        if (before[had] == SK_HOLDER_THREAD ||
            !atomic_compare_exchange_strong(&r->slots[had].holder, &before[had], SK_HOLDER_THREAD))
            break;
    }
    return had;
}

/* Two that come at once may both fail: who connects next comes again. Who comes late may meet the ring alive, with the next
 * connection: with all slots in hand it is what it says. */
bool sk_ring_retire(struct sk_ring *r)
{
    uint32_t before[RING_SLOTS];
    unsigned had;

    if (!atomic_load(&r->dead) || atomic_load(&r->retired))
        return atomic_load(&r->dead);
    had = claim_all(r, before);
    if (had < RING_SLOTS || !atomic_load(&r->dead)) {
        while (had-- > 0)
            atomic_store(&r->slots[had].holder, before[had]);
        return false;
    }
    if (r->bell_is_ours)
        sk_descriptor_close(&r->bell);
    atomic_store(&r->retired, true);
    return true;
}

void sk_ring_revive(struct sk_ring *r)
{
    atomic_store(&r->dead, false);
    atomic_store(&r->retired, false);
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        r->slots[i].turn = 0;
        r->slots[i].has_subject = false;
        atomic_store(&r->slots[i].holder, SK_HOLDER_NONE);
    }
}

/* asking */

void sk_ring_ring(struct sk_ring *r)
{
    uint64_t one = 1;

    if (sk_descriptor_alive(&r->socket) && sk_descriptor_alive(&r->bell) && write(r->bell.fd, &one, sizeof(one)) < 0)
        return; /* full: it has rung */
}

void sk_ring_put(struct sk_turn *t, const void *bytes, size_t length)
{
    size_t first = t->at < IN_LINE ? IN_LINE - t->at : 0;

    first = first < length ? first : length;
    if (first)
        memcpy(t->head + RING_HEADER_BYTES + t->at, bytes, first);
    if (length > first)
        memcpy(t->region->rest[t->slot] + (t->at + first - IN_LINE), (const uint8_t *)bytes + first, length - first);
    t->at += length;
}

void sk_ring_put_subject(struct sk_turn *t, const uint8_t *subject)
{
    const struct sk_ring_slot *slot = &t->ring->slots[t->slot];

    t->again = slot->has_subject && memcmp(slot->subject, subject, RING_SUBJECT_BYTES) == 0;
    if (!t->again)
        sk_ring_put(t, subject, RING_SUBJECT_BYTES);
}

static void note_subject(const struct sk_turn *t, uint16_t type)
{
    struct sk_ring_slot *slot = &t->ring->slots[t->slot];

    if (t->again || !ring_has_subject(type, t->head + RING_HEADER_BYTES, t->at))
        return;
    memcpy(slot->subject, t->head + RING_HEADER_BYTES, RING_SUBJECT_BYTES);
    slot->has_subject = true;
}

/* The line is written at once and its mark last, with a full fence before the look at `polled`: the keeper does these the other
 * way round. */
void sk_ring_post(struct sk_turn *t, uint16_t type)
{
    struct ring_line *line = &t->region->request[t->slot];
    const uint32_t head = htole32(t->again ? type | (uint32_t)RING_AGAIN : type);

    t->number = ++t->ring->slots[t->slot].turn;
    t->type = type;
    t->posted = true;
    t->epoch = atomic_load_explicit(&t->region->epoch, memory_order_relaxed);
    if (t->sleeps)
        sk_ring_announce_sleep(t);
    note_subject(t, type);
    memcpy(t->head, &head, sizeof(head));
    memcpy(line->head, t->head, RING_HEADER_BYTES + (t->at < IN_LINE ? t->at : IN_LINE)); /* the rest is this stack's */
    atomic_store(&line->mark, ring_mark(t->number, RING_HEADER_BYTES + t->at));
    t->rang = !atomic_load(&t->region->polled);
    if (t->rang)
        sk_ring_ring(t->ring);
}

void sk_ring_take(struct sk_turn *t, void *to, size_t length)
{
    size_t first = t->at < IN_LINE ? IN_LINE - t->at : 0;

    first = first < length ? first : length;
    if (first)
        memcpy(to, t->head + RING_HEADER_BYTES + t->at, first);
    if (length > first)
        memcpy((uint8_t *)to + first, t->region->rest[t->slot] + (t->at + first - IN_LINE), length - first);
    t->at += length;
}
