/*
 * SHA-224 and SHA-256 (FIPS 180-4) where the processor has instructions for them. A digest has no key and needs no keeper:
 * its journey there would take longer than itself. Without those instructions the keeper's OpenSSL is the faster one.
 */
#ifndef SIDEKEY_MODULE_SHA256_H
#define SIDEKEY_MODULE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_BLOCK = 64, SHA256_BYTES = 32, SHA224_BYTES = 28 };

struct sk_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[SHA256_BLOCK];
    size_t bytes; /* of the digest: SHA256_BYTES or SHA224_BYTES */
};

/* Whether this processor can. Any thread. */
bool sk_sha256_is_fast(void);

void sk_sha256_begin(struct sk_sha256 *h, size_t bytes);
void sk_sha256_update(struct sk_sha256 *h, const uint8_t *data, size_t length);

/* Writes h->bytes bytes. `h` must be begun anew; it still holds what came last. */
void sk_sha256_finish(struct sk_sha256 *h, uint8_t *out);

/* Of `count` blocks. Only where sk_sha256_is_fast. */
void sk_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t count);

#endif
