/*
 * The state of a digest that is under way, as C_GetOperationState gives it to the caller and `operate` takes it for a parameter: u32 magic
 * (SKD1), u64 mechanism, u64 bytes digested, the chaining words (each u32, or u64 for SHA-384 and SHA-512), and as many
 * bytes as the last block is begun with. It holds nothing secret and nothing of this machine: it may be kept, and taken up
 * by another process. A process that forges one only gets a wrong digest of its own data.
 */
#ifndef SIDEKEY_WIRE_DIGEST_STATE_H
#define SIDEKEY_WIRE_DIGEST_STATE_H

#include "buffer.h"

enum { WIRE_DIGEST_STATE_MAX = 4 + 8 + 8 + 8 * 8 + 127 };

struct wire_digest_state {
    uint64_t mechanism, count;
    uint64_t words[8];
    uint8_t rest[127];
    size_t rest_length; /* follows from count */
};

/* False: it is none, of no mechanism that has one, or its length is not what it says. */
bool wire_digest_state_read(struct wire_bytes bytes, struct wire_digest_state *out);

void wire_digest_state_write(struct wire_writer *w, const struct wire_digest_state *state);

#endif
