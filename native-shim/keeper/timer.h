/*
 * Deadlines: of leases, parked requests, partial frames, and of an idle keeper that lingers. One timerfd, armed for the
 * earliest of them and disarmed when there is none, so that an idle keeper does not wake.
 */
#ifndef SIDEKEY_KEEPER_TIMER_H
#define SIDEKEY_KEEPER_TIMER_H

#include <stdbool.h>
#include <stdint.h>

/* 0, or -1 with errno. Without it (tests) deadlines are kept by calling kp_expire. */
int kp_timer_open(void);
int kp_timer_fd(void);

/* Sees to it that kp_expire is called by then. Any thread, any lock. */
void kp_timer_by(uint64_t deadline_ms);

/* Ends whatever is over at `now_ms` and arms the timer for the rest. Takes kp_lock. True when the keeper should end, having
 * lingered for nobody. */
bool kp_expire(uint64_t now_ms);

/* Reading connections that wait for frame memory may try again: an eventfd, written only when there are any. */
int kp_hungry_fd(void);
void kp_hungry(int change);
void kp_wake_hungry(void);
bool kp_any_hungry(void);

#endif
