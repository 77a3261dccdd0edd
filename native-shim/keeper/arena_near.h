/* What one thread has freed and not given back to the arena: by size, wiped, for its own next allocations. No lock. */
#ifndef SIDEKEY_KEEPER_ARENA_NEAR_H
#define SIDEKEY_KEEPER_ARENA_NEAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { KP_NEAR_SIZES = 32, KP_NEAR_EACH = 16, KP_NEAR_UNITS = 1024 }; /* sizes in units of the arena; so many in all */

struct kp_near {
    struct kp_near *next;
    _Atomic uint32_t units; /* all of it: its thread's to write, anybody's to read */
    uint8_t count[KP_NEAR_SIZES];
    void *blocks[KP_NEAR_SIZES][KP_NEAR_EACH];
};

/* From now on the calling thread keeps there what it frees. Zeroed memory; both live as long as the process. */
void kp_arena_near(struct kp_near *mine);

/* A block of just that size, or NULL: nothing is near, or this thread keeps nothing. */
void *kp_near_take(uint32_t units);

/* False: it has to go back to the arena. */
bool kp_near_keep(void *block, uint32_t units);

/* What all threads keep. */
uint32_t kp_near_units(void);

#endif
