/*
 * Deadlines: points of CLOCK_MONOTONIC in milliseconds.
 */
#ifndef SIDEKEY_MODULE_CLOCK_H
#define SIDEKEY_MODULE_CLOCK_H

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

/* Below `bound`, and no secret: it keeps processes that do the same at the same time from doing it in step. */
static inline uint32_t sk_chance(uint32_t bound)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)(((uint64_t)((uint32_t)t.tv_nsec * 2654435761u) * bound) >> 32);
}

#endif
