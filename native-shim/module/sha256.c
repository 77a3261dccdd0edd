#include "sha256.h"

#include <endian.h>
#include <string.h>

enum { LENGTH_AT = SHA256_BLOCK - 8 };

/* FIPS 180-4, 5.3.2 and 5.3.3 */
static const uint32_t initial_224[8] = {0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939,
                                        0xffc00b31, 0x68581511, 0x64f98fa7, 0xbefa4fa4};
static const uint32_t initial_256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

void sk_sha256_begin(struct sk_sha256 *h, size_t bytes)
{
    memcpy(h->state, bytes == SHA224_BYTES ? initial_224 : initial_256, sizeof(h->state));
    h->length = 0;
    h->bytes = bytes;
}

void sk_sha256_update(struct sk_sha256 *h, const uint8_t *data, size_t length)
{
    size_t have = h->length % SHA256_BLOCK, first = SHA256_BLOCK - have;

    h->length += length;
    if (have && length >= first) {
        memcpy(h->block + have, data, first);
        sk_sha256_blocks(h->state, h->block, 1);
        data += first;
        length -= first;
        have = 0;
    }
    if (length >= SHA256_BLOCK) {
        sk_sha256_blocks(h->state, data, length / SHA256_BLOCK);
        data += length - length % SHA256_BLOCK;
        length %= SHA256_BLOCK;
    }
    if (length)
        memcpy(h->block + have, data, length);
}

/* A bit, zeros, and the length in bits (5.1.1). */
static void pad(struct sk_sha256 *h)
{
    const uint64_t bits = htobe64(h->length * 8);
    size_t have = h->length % SHA256_BLOCK;

    h->block[have++] = 0x80;
    if (have > LENGTH_AT) {
        memset(h->block + have, 0, SHA256_BLOCK - have);
        sk_sha256_blocks(h->state, h->block, 1);
        have = 0;
    }
    memset(h->block + have, 0, LENGTH_AT - have);
    memcpy(h->block + LENGTH_AT, &bits, sizeof(bits));
    sk_sha256_blocks(h->state, h->block, 1);
}

void sk_sha256_finish(struct sk_sha256 *h, uint8_t *out)
{
    uint32_t words[8];

    pad(h);
    for (size_t i = 0; i < 8; i++)
        words[i] = htobe32(h->state[i]);
    memcpy(out, words, h->bytes);
}
