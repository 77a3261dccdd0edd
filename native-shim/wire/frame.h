/*
 * The frame: a header of 32 bytes and a body, the same whatever carries it (a stream socket now, a ring of shared
 * memory beside it). ARCHITECTURE.md, "Frames", has the layout of every body.
 */
#ifndef SIDEKEY_WIRE_FRAME_H
#define SIDEKEY_WIRE_FRAME_H

#include "buffer.h"
#include "limits.h"

enum { WIRE_REPLY = 0x8000 };

enum wire_message {
#define MESSAGE(number, name, from, to, material) WIRE_##name = number,
#include "messages.def"
#undef MESSAGE
};

enum wire_status {
#define ERROR(number, name, rv) STATUS_##name = number,
#include "errors.def"
#undef ERROR
};

struct wire_header {
    uint32_t length; /* of the body */
    uint16_t type;   /* a message, with WIRE_REPLY in a reply */
    uint16_t status; /* a wire_status in a reply; 0 in a request */
    uint64_t id;     /* chosen by the side that asks, and repeated in the reply */
    uint64_t client; /* between keeper and agent: the client in question; keeper to module: 0, or WIRE_MAY_BE_KEPT */
    uint64_t epoch;  /* keeper to module: changes whenever something that this client was told holds no more; agent to
                        keeper: 0, or WIRE_MAY_BE_KEPT; else 0 */
};

/* In a reply: ARCHITECTURE.md, "Answers that are kept". */
enum { WIRE_MAY_BE_KEPT = 1 };

/* `bytes` is WIRE_HEADER_BYTES long. */
void wire_write_header(uint8_t *bytes, const struct wire_header *h);

/* 0, or -1 when the length is over WIRE_BODY_MAX: the connection cannot go on. */
int wire_read_header(const uint8_t *bytes, struct wire_header *h);

/* Operations (operate, bind_check, resolve, bind). The bits of `bind` are 1 << operation. */
enum wire_operation {
    WIRE_ENCRYPT = 1,
    WIRE_DECRYPT = 2,
    WIRE_SIGN = 3,
    WIRE_VERIFY = 4,
    WIRE_DIGEST = 5,
    WIRE_SIGN_RECOVER = 6,
    WIRE_VERIFY_RECOVER = 7, /* its data are the signature, its output what was signed */
    WIRE_OPERATIONS = 8
};

/*
 * Flags of operate: a single-part operation is BEGIN | FINAL, a multi-part one BEGIN, nothing ..., FINAL. MORE fetches what
 * FINAL could not give in one frame: the plaintext of an AEAD, which leaves the keeper only after its tag was good. SAVE asks for the
 * state of a digest, which goes on.
 */
enum { WIRE_BEGIN = 1, WIRE_FINAL = 2, WIRE_CANCEL = 4, WIRE_MORE = 8, WIRE_SAVE = 16 };

/* Why `resolve` asks. */
enum { WIRE_WHY_USE = 1, WIRE_WHY_BOUND = 2 };

/*
 * Handles from here on are private and secret keys that live in a key service: what is asked of them goes to the agent
 * (resident_check, resident_operate) instead of to a cell.
 */
#define WIRE_RESIDENT_FROM ((uint64_t)1 << 52)

static inline bool wire_is_resident(uint64_t handle) { return handle >= WIRE_RESIDENT_FROM; }

/* How much an operation gives (bind_check): see wire_output_bound. */
enum wire_output_rule {
    WIRE_OUTPUT_FIXED = 1,    /* exactly `size` at the end, nothing before */
    WIRE_OUTPUT_AT_MOST = 2,  /* at most `size` at the end, nothing before */
    WIRE_OUTPUT_INPUT = 3,    /* as much as went in, plus `size` (a tag) at the end */
    WIRE_OUTPUT_PADDED = 4,   /* what went in, padded to the next multiple of `size`: always at least one byte more */
    WIRE_OUTPUT_UNPADDED = 5, /* at most what went in */
    WIRE_OUTPUT_WRAPPED = 6,   /* what went in, rounded up to a multiple of 8, plus 8 */
    WIRE_OUTPUT_WRAPPED_PADDED = 7 /* what went in, padded to the next multiple of 8, plus 8 */
};

/* An upper bound of the output for `input` bytes in all. */
uint64_t wire_output_bound(enum wire_output_rule rule, uint32_t size, uint64_t input);

/* State of one attribute in a get_attributes reply. */
enum wire_attribute_state {
    WIRE_ATTRIBUTE_VALUE = 0,
    WIRE_ATTRIBUTE_SENSITIVE = 1,
    WIRE_ATTRIBUTE_UNKNOWN = 2,
    WIRE_ATTRIBUTE_MATERIAL = 3 /* the value stands in the material section */
};

#endif
