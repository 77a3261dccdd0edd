#include "arena_near.h"

#include <stddef.h>

static _Thread_local struct kp_near *near;
static _Atomic(struct kp_near *) nears;

void kp_arena_near(struct kp_near *mine)
{
    near = mine;
    mine->next = atomic_load(&nears);
    while (!atomic_compare_exchange_weak(&nears, &mine->next, mine))
        ;
}

static uint32_t units_of(const struct kp_near *n) { return atomic_load_explicit(&n->units, memory_order_relaxed); }

static void set_units(uint32_t units) { atomic_store_explicit(&near->units, units, memory_order_relaxed); }

void *kp_near_take(uint32_t units)
{
    if (!near || units >= KP_NEAR_SIZES || !near->count[units])
        return NULL;
    set_units(units_of(near) - units);
    return near->blocks[units][--near->count[units]];
}

bool kp_near_keep(void *block, uint32_t units)
{
    if (!near || units >= KP_NEAR_SIZES || near->count[units] == KP_NEAR_EACH || units_of(near) + units > KP_NEAR_UNITS)
        return false;
    set_units(units_of(near) + units);
    near->blocks[units][near->count[units]++] = block;
    return true;
}

uint32_t kp_near_units(void)
{
    uint32_t all = 0;

    for (const struct kp_near *n = atomic_load(&nears); n; n = n->next)
        all += units_of(n);
    return all;
}
