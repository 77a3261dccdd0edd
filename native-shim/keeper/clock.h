/* Milliseconds of CLOCK_BOOTTIME: they go on while the machine is suspended, so that leases end then too. */
#ifndef SIDEKEY_KEEPER_CLOCK_H
#define SIDEKEY_KEEPER_CLOCK_H

#include <stdint.h>

uint64_t kp_now_ms(void);

/* The same, as old as the kernel's last tick (some milliseconds at most): for the lease of each use, where to read the clock itself
 * costs as much as to find the key. */
uint64_t kp_tick_ms(void);

/* Microseconds that only grow: for how long something takes. */
uint64_t kp_now_us(void);

#endif
