/* Stacks of the workers: in the arena, since keys are on them. */
#ifndef SIDEKEY_KEEPER_STACK_H
#define SIDEKEY_KEEPER_STACK_H

#include <stddef.h>

/*
 * `size` bytes of arena memory, aligned to the page, above one page that cannot be accessed: an overflow ends the process
 * instead of overwriting keys. `size` is a multiple of the largest page (64 KiB). NULL with errno when the arena has no room
 * or the page cannot be protected. The stack lives as long as the process; there is no function that frees it.
 */
void *kp_stack_new(size_t size);

#endif
