#include "frame.h"

void wire_write_header(uint8_t *bytes, const struct wire_header *h)
{
    struct wire_writer w;

    wire_writer_init(&w, bytes, WIRE_HEADER_BYTES);
    wire_write_u32(&w, h->length);
    wire_write_u32(&w, (uint32_t)h->type | (uint32_t)h->status << 16);
    wire_write_u64(&w, h->id);
    wire_write_u64(&w, h->client);
    wire_write_u64(&w, h->epoch);
}

int wire_read_header(const uint8_t *bytes, struct wire_header *h)
{
    struct wire_reader r;
    uint32_t both;

    wire_reader_init(&r, bytes, WIRE_HEADER_BYTES);
    h->length = wire_read_u32(&r);
    both = wire_read_u32(&r);
    h->type = (uint16_t)both;
    h->status = (uint16_t)(both >> 16);
    h->id = wire_read_u64(&r);
    h->client = wire_read_u64(&r);
    h->epoch = wire_read_u64(&r);
    return h->length > WIRE_BODY_MAX ? -1 : 0;
}

uint64_t wire_output_bound(enum wire_output_rule rule, uint32_t size, uint64_t input)
{
    switch (rule) {
    case WIRE_OUTPUT_FIXED:
    case WIRE_OUTPUT_AT_MOST:
        return size;
    case WIRE_OUTPUT_INPUT:
        return input + size;
    case WIRE_OUTPUT_PADDED:
        return size ? (input / size + 1) * size : input;
    case WIRE_OUTPUT_UNPADDED:
        return input;
    case WIRE_OUTPUT_WRAPPED:
        return (input + 7) / 8 * 8 + 8;
    case WIRE_OUTPUT_WRAPPED_PADDED:
        return (input / 8 + 1) * 8 + 8;
    }
    return input;
}
