#include "digest_state.h"

#include <string.h>

#include "cryptoki.h"

enum { MAGIC = 0x31444b53 };

static const struct shape {
    uint64_t mechanism;
    uint8_t words, wide;
    uint8_t block;
} shapes[] = {
    {CKM_SHA_1, 5, 0, 64},  {CKM_SHA224, 8, 0, 64},  {CKM_SHA256, 8, 0, 64},
    {CKM_SHA384, 8, 1, 128}, {CKM_SHA512, 8, 1, 128},
};

static const struct shape *shape_of(uint64_t mechanism)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (shapes[i].mechanism == mechanism)
            return &shapes[i];
    return NULL;
}

bool wire_digest_state_read(struct wire_bytes bytes, struct wire_digest_state *out)
{
    const struct shape *shape;
    struct wire_reader r;
    struct wire_bytes rest;

    memset(out, 0, sizeof(*out));
    wire_reader_init(&r, bytes.data ? (const void *)bytes.data : "", bytes.length);
    if (wire_read_u32(&r) != MAGIC)
        return false;
    out->mechanism = wire_read_u64(&r);
    out->count = wire_read_u64(&r);
    shape = shape_of(out->mechanism);
    if (!shape || out->count >> 61)
        return false;
    for (int i = 0; i < shape->words; i++)
        out->words[i] = shape->wide ? wire_read_u64(&r) : wire_read_u32(&r);
    out->rest_length = (size_t)(out->count % shape->block);
    rest = wire_read_rest(&r);
    if (!wire_reader_done(&r) || rest.length != out->rest_length)
        return false;
    if (rest.length)
        memcpy(out->rest, rest.data, rest.length);
    return true;
}

void wire_digest_state_write(struct wire_writer *w, const struct wire_digest_state *state)
{
    const struct shape *shape = shape_of(state->mechanism);

    wire_write_u32(w, MAGIC);
    wire_write_u64(w, state->mechanism);
    wire_write_u64(w, state->count);
    for (int i = 0; i < shape->words; i++)
        if (shape->wide)
            wire_write_u64(w, state->words[i]);
        else
            wire_write_u32(w, (uint32_t)state->words[i]);
    wire_write_raw(w, state->rest, (size_t)(state->count % shape->block));
}
