/*
 * Cryptoki's fixed-size strings: blank-padded, without a terminator.
 */
#ifndef SIDEKEY_MODULE_TEXT_H
#define SIDEKEY_MODULE_TEXT_H

#include <stddef.h>
#include <string.h>

/* As much of `text` as fits, then blanks. `text` may be NULL when `length` is 0. */
static inline void sk_pad(unsigned char *to, size_t size, const void *text, size_t length)
{
    size_t n = length < size ? length : size;

    memset(to, ' ', size);
    if (n)
        memcpy(to, text, n);
}

static inline void sk_pad_text(unsigned char *to, size_t size, const char *text) { sk_pad(to, size, text, strlen(text)); }

#endif
