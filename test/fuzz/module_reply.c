/* Bytes as replies to each of the module's parsers: the first byte chooses the parser, the rest is the body. */
#include "../../native-shim/module/reply.h"
#include "../../native-shim/wire/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void slots(struct wire_reader *r)
{
    uint32_t count = sk_reply_count(r, SK_SLOTS_MAX);
    struct sk_slot one;

    for (uint32_t i = 0; i < count && !r->bad; i++)
        sk_reply_slot(r, &one);
}

static void mechanisms(struct wire_reader *r)
{
    uint32_t count = sk_reply_count(r, SK_MECHANISMS_MAX);
    struct sk_mechanism_info one;

    for (uint32_t i = 0; i < count && !r->bad; i++)
        sk_reply_mechanism(r, &one);
}

static void handles(struct wire_reader *r)
{
    uint32_t count;
    bool more;

    free(sk_reply_handles(r, 0, &more, &count));
}

static void binding(struct wire_reader *r)
{
    struct sk_binding b;

    sk_reply_binding(r, &b);
    if (!r->bad && wire_output_bound(b.rule, b.size, 1000) > WIRE_DATA_MAX * 2)
        abort();
}

static void attributes(struct wire_reader *r)
{
    char a[64], b[8], c[16];
    CK_ATTRIBUTE inner[2] = {{0, c, sizeof(c)}, {0, NULL, 0}};
    CK_ATTRIBUTE list[] = {{CKA_LABEL, a, sizeof(a)}, {CKA_VALUE, b, sizeof(b)}, {CKA_ID, NULL, 0},
                           {CKA_WRAP_TEMPLATE, inner, sizeof(inner)}, {CKA_UNWRAP_TEMPLATE, NULL, 0}};

    sk_reply_attributes(r, list, 5);
}

static void encapsulated(struct wire_reader *r)
{
    struct sk_encapsulated e;

    sk_reply_encapsulated(r, 1088, &e);
    if (!r->bad && e.handle && e.ciphertext.length > 1088)
        abort();
}

/* A header and what it says about the body. */
static void header(struct wire_reader *r)
{
    struct wire_bytes rest = wire_read_rest(r);
    struct wire_header h;

    if (rest.length >= WIRE_HEADER_BYTES && wire_read_header(rest.data, &h) == 0 && h.length > WIRE_BODY_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parsers[])(struct wire_reader *) = {slots, mechanisms, handles, binding, attributes, header,
                                                           encapsulated};
    uint8_t *body;
    struct wire_reader r;

    if (size == 0)
        return 0;
    body = malloc(size); /* exactly as long as it is: a byte too far is seen */
    if (!body)
        return 0;
    memcpy(body, data + 1, size - 1);
    wire_reader_init(&r, body, size - 1);
    parsers[data[0] % (sizeof(parsers) / sizeof(parsers[0]))](&r);
    wire_reader_done(&r);
    free(body);
    return 0;
}
