/*
 * Whether the keeper still works, for systemd's watchdog. The main thread looks three times in each WatchdogSec=, and tells
 * systemd only if
 * - the lock that guards everything can be had: it is never held while something is computed or waited for;
 * - a worker answered the question that the last look put into the event loop, unless all of them are at work;
 * - no worker has been at one piece of work for twice the time that the longest of them (a search for primes) may take.
 * All times are of CLOCK_MONOTONIC, like systemd's: a suspended machine is not a keeper that hangs.
 */
#ifndef SIDEKEY_KEEPER_WATCHDOG_H
#define SIDEKEY_KEEPER_WATCHDOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../wire/limits.h"

enum { KP_WORK_MAX_MS = 2 * WIRE_GENERATE_DEADLINE_MS };

/* What a worker does: it alone writes this, and the main thread reads it. */
struct kp_pulse {
    _Atomic uint32_t turns; /* of its loop: the number changes as long as it does not hang */
    atomic_bool asleep;     /* it waits for an event */
};

static inline void kp_pulse_turn(struct kp_pulse *p)
{
    atomic_store_explicit(&p->turns, atomic_load_explicit(&p->turns, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* One for each worker, before the first look. It stays. */
void kp_watchdog_add(struct kp_pulse *pulse);

/* The question: an eventfd in the event loop, and what a worker does that got it. 0, or -1 with errno. */
int kp_watchdog_open(void);
int kp_watchdog_fd(void);
void kp_watchdog_answer(void);

/* NULL: it works. Otherwise what does not, for the log. */
const char *kp_watchdog_look(uint64_t now_us);

/* The look, and what follows from it. */
void kp_watchdog_report(void);

#endif
