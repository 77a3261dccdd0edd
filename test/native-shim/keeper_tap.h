/* TAP for the keeper's C tests. */
#ifndef SIDEKEY_TEST_KEEPER_TAP_H
#define SIDEKEY_TEST_KEEPER_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "arena.h"
#include "buffer.h"
#include "crypto.h"

static int tap_count, tap_failed;

static inline bool ok(bool good, const char *sentence)
{
    tap_failed += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", ++tap_count, sentence);
    return good;
}

static inline int done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed > 0;
}

/* Hexadecimal digits to bytes, in a ring of buffers so that one expression may hold several. */
static inline struct wire_bytes hex(const char *digits)
{
    static uint8_t ring[8][1024];
    static unsigned turn;
    uint8_t *out = ring[turn++ % 8];
    size_t length = strlen(digits) / 2;

    for (size_t i = 0; i < length; i++) {
        unsigned byte = 0;

        sscanf(digits + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return (struct wire_bytes){out, length};
}

static inline bool same(struct wire_bytes a, const void *bytes, size_t length)
{
    return a.length == length && (length == 0 || memcmp(a.data, bytes, length) == 0);
}

static inline bool open_crypto(void) { return kp_arena_open(true) == 0 && kp_crypto_open() == 0; }

#endif
