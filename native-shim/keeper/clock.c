#include "clock.h"

#include <time.h>

uint64_t kp_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The coarse clock, which the kernel writes at each tick, does not count a suspension: it says only that nothing has passed. */
uint64_t kp_tick_ms(void)
{
    static _Thread_local struct timespec tick;
    static _Thread_local uint64_t ms;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_nsec != tick.tv_nsec || now.tv_sec != tick.tv_sec) {
        tick = now;
        ms = kp_now_ms();
    }
    return ms;
}

uint64_t kp_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
