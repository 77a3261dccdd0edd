#include "latency.h"

#include <stdatomic.h>
#include <time.h>

#include "frame.h"

enum { FIRST_BITS = 8 };

static struct {
    _Atomic uint64_t nanoseconds, times[KP_LATENCY_BUCKETS];
} rows[WIRE_OPERATIONS];

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t kp_latency_begin(void)
{
    static _Thread_local unsigned turn;

    return ++turn % KP_LATENCY_ONE_OF ? 0 : now_ns();
}

static unsigned bucket_of(uint64_t ns)
{
    unsigned i = 0;

    while (i < KP_LATENCY_BUCKETS - 1 && ns >> (FIRST_BITS + i))
        i++;
    return i;
}

void kp_latency_end(uint64_t began, uint8_t operation)
{
    uint64_t ns = now_ns() - began;

    atomic_fetch_add_explicit(&rows[operation].nanoseconds, ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&rows[operation].times[bucket_of(ns)], 1, memory_order_relaxed);
}

void kp_latency_write(struct wire_writer *w)
{
    wire_write_u32(w, KP_LATENCY_ONE_OF);
    wire_write_u32(w, WIRE_OPERATIONS - 1);
    for (uint8_t operation = 1; operation < WIRE_OPERATIONS; operation++) {
        wire_write_u8(w, operation);
        wire_write_u64(w, atomic_load_explicit(&rows[operation].nanoseconds, memory_order_relaxed));
        wire_write_u32(w, KP_LATENCY_BUCKETS);
        for (unsigned i = 0; i < KP_LATENCY_BUCKETS; i++)
            wire_write_u64(w, atomic_load_explicit(&rows[operation].times[i], memory_order_relaxed));
    }
}
