/*
 * Boundary tags: every block begins with its own size and that of the block before it, so that neighbours of a freed
 * block are found and joined. Free blocks hang in bins by size; a bit per bin says which are not empty. Sizes count in
 * units of 16 bytes. Each tag carries checks over its fields and a secret, verified whenever it is used. What a worker has freed
 * lately it keeps near, wiped, for its next allocations of the same size: a signature by a curve takes forty, and workers that meet
 * at the lock make each other sleep.
 */
#include "arena.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "arena_map.h"
#include "arena_near.h"
#include "buffer.h"

enum { UNIT = 16, BINS = 128, EXACT_BINS = 32, NOTHING = 0 };
enum state { USED = 0x55534544, FREE = 0x46524545, NEAR = 0x4e454152 };

/* `state` is its block's holder's to change, without the lock; `before` is his who has the lock. So each has a check of its own. */
struct tag {
    uint32_t units;         /* of this block, the tag included */
    uint32_t before;        /* of the block before; 0 for the first */
    _Atomic uint32_t state; /* a check over an enum state and `units` */
    uint32_t check;         /* over `before` and `units` */
};

/* What a free block holds after its tag: its neighbours in the bin, as units from the start. */
struct links {
    uint32_t next, last;
};

static struct {
    pthread_mutex_t lock;
    char *start;
    size_t units, used;
    uint32_t secret;
    enum kp_arena_kind kind;
    uint32_t bins[BINS];
    uint64_t filled[BINS / 64];
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint32_t check_of(const struct tag *t, uint32_t value)
{
    uint32_t x = arena.secret ^ t->units ^ (value * 0x9e3779b1u);

    x ^= (uint32_t)((uintptr_t)t >> 4);
    return x * 0x85ebca6bu;
}

static bool is(const struct tag *t, enum state state)
{
    return atomic_load_explicit(&t->state, memory_order_relaxed) == check_of(t, state);
}

static void become(struct tag *t, enum state state)
{
    atomic_store_explicit(&t->state, check_of(t, state), memory_order_relaxed);
}

static void seal(struct tag *t) { t->check = check_of(t, t->before); }

static bool good(const struct tag *t, enum state state) { return is(t, state) && t->check == check_of(t, t->before); }

static void must(bool invariant)
{
    if (!invariant)
        abort();
}

static struct tag *tag_at(uint32_t unit) { return (struct tag *)(void *)(arena.start + (size_t)unit * UNIT); }
static uint32_t unit_of(const struct tag *t) { return (uint32_t)((size_t)((const char *)t - arena.start) / UNIT); }
static struct links *links_of(struct tag *t) { return (struct links *)(void *)(t + 1); }

static struct tag *after(struct tag *t)
{
    uint32_t unit = unit_of(t) + t->units;

    return unit < arena.units ? tag_at(unit) : NULL;
}

/* Exact sizes first, then four bins for each power of two. */
static unsigned bin_of(uint32_t units)
{
    unsigned log;

    if (units < EXACT_BINS)
        return units;
    log = 31 - (unsigned)__builtin_clz(units);
    return EXACT_BINS + (log - 5) * 4 + (units >> (log - 2) & 3);
}

static void mark(unsigned bin)
{
    if (arena.bins[bin] == NOTHING)
        arena.filled[bin / 64] &= ~((uint64_t)1 << bin % 64);
    else
        arena.filled[bin / 64] |= (uint64_t)1 << bin % 64;
}

/* Unit 0 is the first block's tag and so a valid position: links hold the position plus one. */
static void push(struct tag *t)
{
    unsigned bin = bin_of(t->units);
    struct links *l = links_of(t);

    become(t, FREE);
    seal(t);
    l->next = arena.bins[bin];
    l->last = NOTHING;
    if (l->next != NOTHING)
        links_of(tag_at(l->next - 1))->last = unit_of(t) + 1;
    arena.bins[bin] = unit_of(t) + 1;
    mark(bin);
}

static void pull(struct tag *t)
{
    unsigned bin = bin_of(t->units);
    struct links *l = links_of(t);

    must(good(t, FREE));
    must(l->next <= arena.units && l->last <= arena.units);
    if (l->next != NOTHING)
        links_of(tag_at(l->next - 1))->last = l->last;
    if (l->last != NOTHING)
        links_of(tag_at(l->last - 1))->next = l->next;
    else
        arena.bins[bin] = l->next;
    mark(bin);
    l->next = l->last = 0;
}

static void set_before(struct tag *t, uint32_t units)
{
    must(t->check == check_of(t, t->before));
    t->before = units;
    seal(t);
}

/* Gives back what `t` has beyond `units` as a free block. */
static void split(struct tag *t, uint32_t units)
{
    uint32_t rest = t->units - units;
    struct tag *next = after(t), *spare;

    if (rest < 2)
        return;
    t->units = units;
    spare = after(t);
    spare->units = rest;
    spare->before = units;
    if (next)
        set_before(next, rest);
    push(spare);
}

static struct tag *first_fit(unsigned bin, uint32_t units)
{
    for (uint32_t at = arena.bins[bin]; at != NOTHING; at = links_of(tag_at(at - 1))->next)
        if (tag_at(at - 1)->units >= units)
            return tag_at(at - 1);
    return NULL;
}

static struct tag *find_free(uint32_t units)
{
    unsigned bin = bin_of(units);
    struct tag *t = first_fit(bin, units);

    for (bin++; !t && bin < BINS; bin++) {
        uint64_t rest = arena.filled[bin / 64] >> bin % 64;

        if (!rest) {
            bin |= 63;
            continue;
        }
        bin += (unsigned)__builtin_ctzll(rest);
        t = tag_at(arena.bins[bin] - 1);
    }
    return t;
}

static uint32_t units_for(size_t size)
{
    size_t units = (size + sizeof(struct tag) + UNIT - 1) / UNIT;

    return units < 2 ? 2 : (uint32_t)units;
}

static void *take(uint32_t units)
{
    struct tag *t = find_free(units);

    if (!t)
        return NULL;
    pull(t);
    split(t, units);
    become(t, USED);
    seal(t);
    arena.used += t->units;
    return t + 1;
}

static void give(struct tag *t)
{
    struct tag *next, *last;

    must(good(t, USED));
    arena.used -= t->units;
    next = after(t);
    if (next && is(next, FREE)) {
        pull(next);
        t->units += next->units;
        wire_wipe(next, sizeof(*next));
    }
    last = t->before ? tag_at(unit_of(t) - t->before) : NULL;
    if (last && is(last, FREE)) {
        pull(last);
        last->units += t->units;
        wire_wipe(t, sizeof(*t));
        t = last;
    }
    next = after(t);
    if (next)
        set_before(next, t->units);
    push(t);
}

int kp_arena_open(bool secret)
{
    struct tag *t;

    arena.start = kp_map_locked(KP_ARENA_BYTES, secret, &arena.kind);
    if (!arena.start)
        return -1;
    if (getrandom(&arena.secret, sizeof(arena.secret), 0) != sizeof(arena.secret))
        return -1;
    arena.units = KP_ARENA_BYTES / UNIT;
    t = tag_at(0);
    t->units = (uint32_t)arena.units;
    push(t);
    return 0;
}

enum kp_arena_kind kp_arena_kind(void) { return arena.kind; }

static size_t room_of(const struct tag *t) { return (size_t)t->units * UNIT - sizeof(*t); }

static void *take_near(uint32_t units)
{
    void *block = kp_near_take(units);

    if (!block)
        return NULL;
    must(is((struct tag *)block - 1, NEAR));
    become((struct tag *)block - 1, USED);
    return block;
}

void *kp_alloc(size_t size)
{
    void *block;

    if (size > KP_ARENA_BYTES)
        return NULL;
    block = take_near(units_for(size));
    if (block)
        return block;
    pthread_mutex_lock(&arena.lock);
    block = take(units_for(size));
    pthread_mutex_unlock(&arena.lock);
    return block;
}

void kp_free(void *block)
{
    struct tag *t;

    if (!block)
        return;
    must(kp_arena_holds(block) && (uintptr_t)block % UNIT == 0);
    t = (struct tag *)block - 1;
    must(is(t, USED));
    wire_wipe(block, room_of(t));
    become(t, NEAR);
    if (kp_near_keep(block, t->units))
        return;
    become(t, USED);
    pthread_mutex_lock(&arena.lock);
    give(t);
    pthread_mutex_unlock(&arena.lock);
}

void *kp_realloc(void *old, size_t size)
{
    void *block;
    size_t had;

    if (!old)
        return kp_alloc(size);
    must(kp_arena_holds(old));
    had = room_of((const struct tag *)old - 1);
    if (size <= had && size >= had / 2)
        return old;
    block = kp_alloc(size);
    if (!block)
        return NULL;
    memcpy(block, old, size < had ? size : had);
    kp_free(old);
    return block;
}

size_t kp_arena_used(void)
{
    size_t used;

    pthread_mutex_lock(&arena.lock);
    used = arena.used - kp_near_units();
    pthread_mutex_unlock(&arena.lock);
    return used * UNIT;
}

static bool is_good(const struct tag *t) { return good(t, USED) || good(t, FREE) || good(t, NEAR); }

static bool walk(void)
{
    size_t used = 0;
    uint32_t before = 0;

    for (uint32_t unit = 0; unit < arena.units; unit += before) {
        struct tag *t = tag_at(unit);

        if (!is_good(t) || t->before != before || t->units < 2)
            return false;
        if (is(t, FREE) && before && is(tag_at(unit - before), FREE))
            return false;
        used += is(t, FREE) ? 0 : t->units;
        before = t->units;
    }
    return used == arena.used;
}

bool kp_arena_check(void)
{
    bool ok;

    pthread_mutex_lock(&arena.lock);
    ok = walk();
    pthread_mutex_unlock(&arena.lock);
    return ok;
}

bool kp_arena_holds(const void *address)
{
    const char *at = address;

    return arena.start && at >= arena.start && at < arena.start + KP_ARENA_BYTES;
}
