/*
 * How long operations of programs take in the keeper, sampled: one of KP_LATENCY_ONE_OF on each thread is timed, from its
 * frame's handling to its reply's end. What is not sampled costs a counter. Any thread, without a lock.
 */
#ifndef SIDEKEY_KEEPER_LATENCY_H
#define SIDEKEY_KEEPER_LATENCY_H

#include <stdint.h>

#include "buffer.h"

enum {
    KP_LATENCY_ONE_OF = 64,
    KP_LATENCY_BUCKETS = 24, /* bucket i: below 2^(8 + i) ns; the last: all others */
};

/* 0: not this one. */
uint64_t kp_latency_begin(void);
void kp_latency_end(uint64_t began, uint8_t operation);

/* As `state` has it; since the keeper's start. */
void kp_latency_write(struct wire_writer *w);

#endif
