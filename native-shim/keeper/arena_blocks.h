/*
 * Boundary tags: every block begins with its own size and that of the block before it, so that neighbours of a freed
 * block are found and joined. Free blocks hang in bins by size; a bit per bin says which are not empty. All functions
 * but kp_blocks_open are called with the arena's lock held.
 */
#ifndef SIDEKEY_KEEPER_ARENA_BLOCKS_H
#define SIDEKEY_KEEPER_ARENA_BLOCKS_H

#include "arena_tag.h"

/* One free block from all of it. The memory is zero. */
void kp_blocks_open(struct kp_ground ground);

/* The zeroed memory after the tag of a block of at least `units`, the tag included; NULL when there is none. */
void *kp_blocks_take(uint32_t units);

/* Frees a used block; the caller has wiped what follows the tag. */
void kp_blocks_give(struct kp_tag *t);

/* Units of all blocks that are not free, tags included. */
size_t kp_blocks_used(void);

/* Walks every block and checks every tag. */
bool kp_blocks_check(void);

#endif
