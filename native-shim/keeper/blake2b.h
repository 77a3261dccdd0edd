/* BLAKE2b without a key (RFC 7693), of any length up to 64 bytes: OpenSSL 3.0 has only that of 64. */
#ifndef SIDEKEY_KEEPER_BLAKE2B_H
#define SIDEKEY_KEEPER_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

enum { KP_BLAKE2B_BLOCK = 128, KP_BLAKE2B_MAX = 64 };

struct kp_blake2b {
    uint64_t h[8], total;
    uint8_t block[KP_BLAKE2B_BLOCK];
    size_t used, size;
};

/* `size`: bytes of the hash, 1 to KP_BLAKE2B_MAX. */
void kp_blake2b_init(struct kp_blake2b *b, size_t size);
void kp_blake2b_update(struct kp_blake2b *b, const uint8_t *data, size_t length);

/* `size` bytes to `out`, and wipes the rest. */
void kp_blake2b_final(struct kp_blake2b *b, uint8_t *out);

#endif
