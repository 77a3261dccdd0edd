/*
 * Deadlines: points of CLOCK_MONOTONIC in milliseconds.
 */
#ifndef SIDEKEY_MODULE_CLOCK_H
#define SIDEKEY_MODULE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline int64_t sk_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline int64_t sk_earlier(int64_t a, int64_t b) { return a < b ? a : b; }

/* What poll(2) takes: at least 0. */
static inline int sk_ms_left(int64_t deadline)
{
    int64_t left = deadline - sk_now_ms();

    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

/* Below `bound`, and no secret: processes that do the same at the same time shall not do it in step. */
static inline uint32_t sk_chance(uint32_t bound)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)(((uint64_t)((uint32_t)t.tv_nsec * 2654435761u) * bound) >> 32);
}

/* A condition variable whose waits are measured by CLOCK_MONOTONIC. */
static inline void sk_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t how;

    pthread_condattr_init(&how);
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    pthread_cond_init(c, &how);
    pthread_condattr_destroy(&how);
}

/* 0, or ETIMEDOUT. */
static inline int sk_cond_wait(pthread_cond_t *c, pthread_mutex_t *lock, int64_t deadline)
{
    struct timespec t = {.tv_sec = deadline / 1000, .tv_nsec = deadline % 1000 * 1000000};

    return pthread_cond_timedwait(c, lock, &t);
}

#endif
