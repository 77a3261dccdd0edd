/*
 * The one place that reads and writes the bytes of a frame. Numbers are little-endian; a byte string is a u32 length and
 * the bytes. Readers and writers remember the first fault: after it every read gives zero and every write does nothing, so
 * that a parser runs straight down and checks once at its end. Nothing is allocated; what is read points into the caller's
 * bytes, so memory that another process can write must be copied first. A reader or writer belongs to one thread.
 */
#ifndef SIDEKEY_WIRE_BUFFER_H
#define SIDEKEY_WIRE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of somebody else's bytes: valid as long as they are. `data` is NULL when the string was absent. */
struct wire_bytes {
    const uint8_t *data;
    size_t length;
};

struct wire_reader {
    const uint8_t *at, *end;
    bool bad;
};

struct wire_writer {
    uint8_t *start, *at, *end;
    bool full;
};

/* `bytes` must outlive the reader and every view that was read from it. */
void wire_reader_init(struct wire_reader *r, const void *bytes, size_t length);
uint8_t wire_read_u8(struct wire_reader *r);
uint32_t wire_read_u32(struct wire_reader *r);
uint64_t wire_read_u64(struct wire_reader *r);

/* A byte string of at most `max` bytes; a longer one makes the reader bad. Length WIRE_ABSENT reads as data == NULL. */
struct wire_bytes wire_read_bytes(struct wire_reader *r, size_t max);

/* All that is left, without a length. */
struct wire_bytes wire_read_rest(struct wire_reader *r);

/* True when nothing was bad and nothing is left: the check at the end of every parser. */
bool wire_reader_done(const struct wire_reader *r);

/* What does not fit is dropped, and `full` is set: the caller checks it once, before it sends anything. */
void wire_writer_init(struct wire_writer *w, void *bytes, size_t capacity);
void wire_write_u8(struct wire_writer *w, uint8_t value);
void wire_write_u32(struct wire_writer *w, uint32_t value);
void wire_write_u64(struct wire_writer *w, uint64_t value);
void wire_write_bytes(struct wire_writer *w, const void *data, size_t length);
void wire_write_absent(struct wire_writer *w);
void wire_write_raw(struct wire_writer *w, const void *data, size_t length);

/* Reserve a byte string whose length is not known yet: begin, write, end. `mark` is what begin returned. */
size_t wire_begin_bytes(struct wire_writer *w);
void wire_end_bytes(struct wire_writer *w, size_t mark);

/* Bytes written so far. */
size_t wire_written(const struct wire_writer *w);

/* Writes zeros, which the compiler may not leave out. */
void wire_wipe(void *bytes, size_t length);

#define WIRE_ABSENT 0xffffffffu

#endif
