/* How the arena's pages are got from the kernel; the allocator in arena.c works on whatever this returns. */
#ifndef SIDEKEY_KEEPER_ARENA_MAP_H
#define SIDEKEY_KEEPER_ARENA_MAP_H

#include "arena.h"

/* `length` bytes of locked memory between two guard pages, or NULL with errno. */
void *kp_map_locked(size_t length, bool secret, enum kp_arena_kind *kind);

#endif
