/* How the keeper ends: any thread may ask, the main thread does it. */
#ifndef SIDEKEY_KEEPER_LIFETIME_H
#define SIDEKEY_KEEPER_LIFETIME_H

#include <stdint.h>

/* By the main thread, before any other is started: signals that end the keeper wait for kp_wait_for_end. */
void kp_lifetime_open(void);

/* Asks for the end. `why` is a constant, for the log. */
void kp_stop(const char *why);

/* Waits, and says why. Calls `look` every `every_ms` until then; 0: never. */
const char *kp_wait_for_end(uint64_t every_ms, void (*look)(void));

#endif
