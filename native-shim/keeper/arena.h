/*
 * The locked memory that holds everything which may be a key: cells, OpenSSL's allocations, worker stacks, frame bodies.
 * Mapped once, at start; it never grows. Memory comes out zeroed and is wiped when it goes back. Any thread may call.
 * A tag that does not check (overrun, double free) ends the process: nothing in here can be believed after that.
 */
#ifndef SIDEKEY_KEEPER_ARENA_H
#define SIDEKEY_KEEPER_ARENA_H

#include <stdbool.h>
#include <stddef.h>

enum { KP_ARENA_BYTES = 6400 * 1024 };

enum kp_arena_kind { KP_ARENA_NONE, KP_ARENA_SECRET, KP_ARENA_LOCKED };

/*
 * Maps and locks the arena: memfd_secret, or when `secret` is false or the kernel lacks it, mlock with guard pages and
 * no dump. 0, or -1 with errno; kp_arena_explain then tells the operator what to do.
 */
int kp_arena_open(bool secret);
void kp_arena_explain(int error, char *text, size_t size);
enum kp_arena_kind kp_arena_kind(void);

/* Zeroed, 16-byte aligned memory, or NULL when none is left. Size 0 gives a pointer that can be freed. */
void *kp_alloc(size_t size);

/* As realloc; the old block is wiped when it moves. On NULL the old block is still there. */
void *kp_realloc(void *old, size_t size);

/* Wipes and returns; NULL is allowed. */
void kp_free(void *block);

/* Bytes in use, headers included, without what is kept near. */
size_t kp_arena_used(void);

/* Walks every block and checks every tag: for tests. True when all is well. */
bool kp_arena_check(void);

/* Whether the address lies in the arena. */
bool kp_arena_holds(const void *address);

#endif
