/*
 * Which lengths AES and DES take in ECB, CBC and CTR. The keeper refuses others; the module tells so when it is asked how
 * long the output will be.
 */
#ifndef SIDEKEY_WIRE_CIPHER_LENGTH_H
#define SIDEKEY_WIRE_CIPHER_LENGTH_H

#include "mechanism.h"

enum { WIRE_BLOCK_BYTES = 16 };

size_t wire_block_bytes(const struct wire_mechanism *m);

/* How many blocks the low `bits` of a counter block of 16 bytes allow before they wrap; at most 2^64 - 1, which is never
 * reached. */
uint64_t wire_counter_room(const uint8_t *block, uint32_t bits);

#endif
