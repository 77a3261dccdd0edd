#include "blake2b.h"

#include <string.h>

#include "buffer.h"

enum { ROUNDS = 12, SCHEDULES = 10, PARAMETERS = 0x01010000 /* fanout and depth of one, no key */ };

/* RFC 7693, 2.6: those of SHA-512. */
static const uint64_t iv[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

/* RFC 7693, 2.7 */
static const uint8_t schedule[SCHEDULES][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

/* Columns, then diagonals. */
static const uint8_t lanes[8][4] = {{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
                                    {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}};

static uint64_t rotate(uint64_t x, unsigned by) { return x >> by | x << (64 - by); }

static void mix(uint64_t v[16], const uint8_t at[4], uint64_t x, uint64_t y)
{
    uint64_t *a = &v[at[0]], *b = &v[at[1]], *c = &v[at[2]], *d = &v[at[3]];

    *a += *b + x;
    *d = rotate(*d ^ *a, 32);
    *c += *d;
    *b = rotate(*b ^ *c, 24);
    *a += *b + y;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 63);
}

static void compress(struct kp_blake2b *b, bool last)
{
    uint64_t v[16], m[16];

    for (int i = 0; i < 16; i++) {
        m[i] = 0;
        for (int j = 7; j >= 0; j--)
            m[i] = m[i] << 8 | b->block[8 * i + j];
    }
    memcpy(v, b->h, sizeof(b->h));
    memcpy(v + 8, iv, sizeof(iv));
    v[12] ^= b->total;
    v[14] ^= last ? ~(uint64_t)0 : 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 8; i++)
            mix(v, lanes[i], m[schedule[round % SCHEDULES][2 * i]], m[schedule[round % SCHEDULES][2 * i + 1]]);
    for (int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
    wire_wipe(v, sizeof(v));
    wire_wipe(m, sizeof(m));
}

void kp_blake2b_init(struct kp_blake2b *b, size_t size)
{
    memset(b, 0, sizeof(*b));
    memcpy(b->h, iv, sizeof(iv));
    b->h[0] ^= PARAMETERS ^ size;
    b->size = size;
}

/* A full block waits until more comes: the last one is marked. */
void kp_blake2b_update(struct kp_blake2b *b, const uint8_t *data, size_t length)
{
    while (length) {
        size_t piece = KP_BLAKE2B_BLOCK - b->used;

        if (piece == 0) {
            b->total += KP_BLAKE2B_BLOCK;
            compress(b, false);
            b->used = 0;
            continue;
        }
        piece = piece < length ? piece : length;
        memcpy(b->block + b->used, data, piece);
        b->used += piece;
        data += piece;
        length -= piece;
    }
}

void kp_blake2b_final(struct kp_blake2b *b, uint8_t *out)
{
    b->total += b->used;
    memset(b->block + b->used, 0, KP_BLAKE2B_BLOCK - b->used);
    compress(b, true);
    for (size_t i = 0; i < b->size; i++)
        out[i] = (uint8_t)(b->h[i / 8] >> (8 * (i % 8)));
    wire_wipe(b, sizeof(*b));
}
