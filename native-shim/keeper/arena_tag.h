/*
 * The tags before the arena's blocks: for arena.c and arena_blocks.c only. A tag carries checks over its fields and a secret,
 * which are verified whenever it is used. A tag that does not check (overrun, double free) ends the process.
 */
#ifndef SIDEKEY_KEEPER_ARENA_TAG_H
#define SIDEKEY_KEEPER_ARENA_TAG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { KP_UNIT = 16 }; /* sizes count in units of so many bytes */
enum kp_tag_state { KP_USED = 0x55534544, KP_FREE = 0x46524545, KP_NEAR = 0x4e454152 };

/* The holder of a block changes its `state` without the lock; `before` is changed under the lock only. Hence a check for each. */
struct kp_tag {
    uint32_t units;         /* of this block, the tag included */
    uint32_t before;        /* of the block before; 0 for the first */
    _Atomic uint32_t state; /* a check over an enum kp_tag_state and `units` */
    uint32_t check;         /* over `before` and `units` */
};

/* Where the blocks are; written once, by kp_blocks_open. */
struct kp_ground {
    char *start;
    size_t units;
    uint32_t secret;
};

extern struct kp_ground kp_ground;

static inline uint32_t kp_tag_check(const struct kp_tag *t, uint32_t value)
{
    uint32_t x = kp_ground.secret ^ t->units ^ (value * 0x9e3779b1u);

    x ^= (uint32_t)((uintptr_t)t >> 4);
    return x * 0x85ebca6bu;
}

static inline bool kp_tag_is(const struct kp_tag *t, enum kp_tag_state state)
{
    return atomic_load_explicit(&t->state, memory_order_relaxed) == kp_tag_check(t, state);
}

static inline void kp_tag_become(struct kp_tag *t, enum kp_tag_state state)
{
    atomic_store_explicit(&t->state, kp_tag_check(t, state), memory_order_relaxed);
}

static inline void kp_tag_seal(struct kp_tag *t) { t->check = kp_tag_check(t, t->before); }

static inline bool kp_tag_good(const struct kp_tag *t, enum kp_tag_state state)
{
    return kp_tag_is(t, state) && t->check == kp_tag_check(t, t->before);
}

static inline void kp_must(bool invariant)
{
    if (!invariant)
        abort();
}

/* `unit` counts from the start of the arena. */
static inline struct kp_tag *kp_tag_at(uint32_t unit)
{
    return (struct kp_tag *)(void *)(kp_ground.start + (size_t)unit * KP_UNIT);
}

static inline uint32_t kp_tag_unit(const struct kp_tag *t)
{
    return (uint32_t)((size_t)((const char *)t - kp_ground.start) / KP_UNIT);
}

/* The block that follows, or NULL after the last. */
static inline struct kp_tag *kp_tag_after(struct kp_tag *t)
{
    uint32_t unit = kp_tag_unit(t) + t->units;

    return unit < kp_ground.units ? kp_tag_at(unit) : NULL;
}

#endif
