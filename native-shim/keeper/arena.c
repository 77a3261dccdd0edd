/*
 * What a worker has freed lately it keeps near, wiped, for its next allocations of the same size: an ECDSA signature takes
 * forty, and workers that meet at the lock put each other to sleep.
 */
#include "arena.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "arena_blocks.h"
#include "arena_map.h"
#include "arena_near.h"
#include "buffer.h"

static struct {
    pthread_mutex_t lock;
    enum kp_arena_kind kind;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

int kp_arena_open(bool secret)
{
    struct kp_ground ground = {.units = KP_ARENA_BYTES / KP_UNIT};

    ground.start = kp_map_locked(KP_ARENA_BYTES, secret, &arena.kind);
    if (!ground.start)
        return -1;
    if (getrandom(&ground.secret, sizeof(ground.secret), 0) != sizeof(ground.secret))
        return -1;
    kp_blocks_open(ground);
    return 0;
}

enum kp_arena_kind kp_arena_kind(void) { return arena.kind; }

static uint32_t units_for(size_t size)
{
    size_t units = (size + sizeof(struct kp_tag) + KP_UNIT - 1) / KP_UNIT;

    return units < 2 ? 2 : (uint32_t)units;
}

static size_t room_of(const struct kp_tag *t) { return (size_t)t->units * KP_UNIT - sizeof(*t); }

static void *take_near(uint32_t units)
{
    void *block = kp_near_take(units);

    if (!block)
        return NULL;
    kp_must(kp_tag_is((struct kp_tag *)block - 1, KP_NEAR));
    kp_tag_become((struct kp_tag *)block - 1, KP_USED);
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
    block = kp_blocks_take(units_for(size));
    pthread_mutex_unlock(&arena.lock);
    return block;
}

void kp_free(void *block)
{
    struct kp_tag *t;

    if (!block)
        return;
    kp_must(kp_arena_holds(block) && (uintptr_t)block % KP_UNIT == 0);
    t = (struct kp_tag *)block - 1;
    kp_must(kp_tag_is(t, KP_USED));
    wire_wipe(block, room_of(t));
    kp_tag_become(t, KP_NEAR);
    if (kp_near_keep(block, t->units))
        return;
    kp_tag_become(t, KP_USED);
    pthread_mutex_lock(&arena.lock);
    kp_blocks_give(t);
    pthread_mutex_unlock(&arena.lock);
}

void *kp_realloc(void *old, size_t size)
{
    void *block;
    size_t had;

    if (!old)
        return kp_alloc(size);
    kp_must(kp_arena_holds(old));
    had = room_of((const struct kp_tag *)old - 1);
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
    used = kp_blocks_used() - kp_near_units();
    pthread_mutex_unlock(&arena.lock);
    return used * KP_UNIT;
}

bool kp_arena_check(void)
{
    bool ok;

    pthread_mutex_lock(&arena.lock);
    ok = kp_blocks_check();
    pthread_mutex_unlock(&arena.lock);
    return ok;
}

bool kp_arena_holds(const void *address)
{
    const char *at = address;

    return kp_ground.start && at >= kp_ground.start && at < kp_ground.start + KP_ARENA_BYTES;
}
