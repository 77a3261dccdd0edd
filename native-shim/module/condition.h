/*
 * A condition variable on a futex, for two reasons: its waits end by CLOCK_MONOTONIC, and the C library's way to say that
 * (pthread_condattr_setclock) binds a module built here to glibc 2.34, while legacy programs live with older ones.
 */
#ifndef SIDEKEY_MODULE_CONDITION_H
#define SIDEKEY_MODULE_CONDITION_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct sk_condition {
    _Atomic uint32_t turns;   /* counts signals: who saw the present number sleeps until it changes */
    _Atomic uint32_t waiters; /* lets a signal that nobody waits for spare its system call */
};

static inline void sk_condition_init(struct sk_condition *c)
{
    c->turns = 0;
    c->waiters = 0;
}

/*
 * With `lock` held; 0, or ETIMEDOUT when `deadline` (sk_now_ms) has passed. Like any condition variable it may return early:
 * the caller looks again at what it waits for.
 */
static inline int sk_condition_wait(struct sk_condition *c, pthread_mutex_t *lock, int64_t deadline)
{
    struct timespec t = {.tv_sec = deadline / 1000, .tv_nsec = deadline % 1000 * 1000000};
    uint32_t seen;
    int error;

    c->waiters++;
    seen = c->turns;
    pthread_mutex_unlock(lock);
    error = syscall(SYS_futex, &c->turns, FUTEX_WAIT_BITSET_PRIVATE, seen, &t, NULL, FUTEX_BITSET_MATCH_ANY) < 0 ? errno : 0;
    pthread_mutex_lock(lock);
    c->waiters--;
    return error == ETIMEDOUT ? ETIMEDOUT : 0;
}

static inline void sk_condition_wake(struct sk_condition *c, int how_many)
{
    c->turns++;
    if (c->waiters)
        syscall(SYS_futex, &c->turns, FUTEX_WAKE_PRIVATE, how_many, NULL, NULL, 0);
}

static inline void sk_condition_signal(struct sk_condition *c) { sk_condition_wake(c, 1); }

static inline void sk_condition_broadcast(struct sk_condition *c) { sk_condition_wake(c, INT_MAX); }

#endif
