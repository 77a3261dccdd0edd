#include "buffer.h"

#include <endian.h>
#include <string.h>

static inline const uint8_t *take(struct wire_reader *r, size_t length)
{
    const uint8_t *at = r->at;

    if (r->bad || (size_t)(r->end - r->at) < length) {
        r->bad = true;
        return NULL;
    }
    r->at += length;
    return at;
}

void wire_reader_init(struct wire_reader *r, const void *bytes, size_t length)
{
    r->at = bytes;
    r->end = r->at + length;
    r->bad = false;
}

uint8_t wire_read_u8(struct wire_reader *r)
{
    const uint8_t *at = take(r, 1);

    return at ? *at : 0;
}

uint32_t wire_read_u32(struct wire_reader *r)
{
    const uint8_t *at = take(r, 4);
    uint32_t value = 0;

    if (at)
        memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

uint64_t wire_read_u64(struct wire_reader *r)
{
    const uint8_t *at = take(r, 8);
    uint64_t value = 0;

    if (at)
        memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

struct wire_bytes wire_read_bytes(struct wire_reader *r, size_t max)
{
    uint32_t length = wire_read_u32(r);
    struct wire_bytes none = {NULL, 0}, view;

    if (r->bad || length == WIRE_ABSENT)
        return none;
    if (length > max)
        r->bad = true;
    view.data = take(r, length);
    view.length = view.data ? length : 0;
    return view;
}

struct wire_bytes wire_read_rest(struct wire_reader *r)
{
    size_t length = r->bad ? 0 : (size_t)(r->end - r->at);
    struct wire_bytes view = {take(r, length), length};

    return view;
}

bool wire_reader_done(const struct wire_reader *r) { return !r->bad && r->at == r->end; }

static inline uint8_t *room(struct wire_writer *w, size_t length)
{
    uint8_t *at = w->at;

    if (w->full || (size_t)(w->end - w->at) < length) {
        w->full = true;
        return NULL;
    }
    w->at += length;
    return at;
}

void wire_writer_init(struct wire_writer *w, void *bytes, size_t capacity)
{
    w->start = w->at = bytes;
    w->end = w->start + capacity;
    w->full = false;
}

void wire_write_u8(struct wire_writer *w, uint8_t value) { wire_write_raw(w, &value, 1); }

void wire_write_u32(struct wire_writer *w, uint32_t value)
{
    value = htole32(value);
    wire_write_raw(w, &value, sizeof(value));
}

void wire_write_u64(struct wire_writer *w, uint64_t value)
{
    value = htole64(value);
    wire_write_raw(w, &value, sizeof(value));
}
void wire_write_absent(struct wire_writer *w) { wire_write_u32(w, WIRE_ABSENT); }

void wire_write_raw(struct wire_writer *w, const void *data, size_t length)
{
    uint8_t *bytes = room(w, length);

    if (bytes && length)
        memcpy(bytes, data, length);
}

void wire_write_bytes(struct wire_writer *w, const void *data, size_t length)
{
    if (length >= WIRE_ABSENT) {
        w->full = true;
        return;
    }
    wire_write_u32(w, (uint32_t)length);
    wire_write_raw(w, data, length);
}

size_t wire_begin_bytes(struct wire_writer *w)
{
    size_t mark = wire_written(w);

    wire_write_u32(w, 0);
    return mark;
}

void wire_end_bytes(struct wire_writer *w, size_t mark)
{
    struct wire_writer length;

    if (w->full)
        return;
    wire_writer_init(&length, w->start + mark, 4);
    wire_write_u32(&length, (uint32_t)(wire_written(w) - mark - 4));
}

size_t wire_written(const struct wire_writer *w) { return (size_t)(w->at - w->start); }

void wire_wipe(void *bytes, size_t length)
{
    if (length)
        memset(bytes, 0, length);
    __asm__ __volatile__("" : : "r"(bytes) : "memory");
}
