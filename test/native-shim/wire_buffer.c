/* Reader, writer, parameters and templates of the wire, by literal bytes. */
#include "keeper_tap.h"
#include "cryptoki.h"
#include "frame.h"
#include "params.h"
#include "template.h"

static void reader(void)
{
    struct wire_bytes b = hex("01" "02000000" "0300000000000000" "02000000" "aabb" "ffffffff");
    struct wire_reader r;
    struct wire_bytes v;

    wire_reader_init(&r, b.data, b.length);
    ok(wire_read_u8(&r) == 1 && wire_read_u32(&r) == 2 && wire_read_u64(&r) == 3, "numbers are little-endian");
    v = wire_read_bytes(&r, 2);
    ok(same(v, "\xaa\xbb", 2), "a byte string is its length and its bytes");
    v = wire_read_bytes(&r, 2);
    ok(v.data == NULL && wire_reader_done(&r), "an absent one is no bytes at all");
    ok(wire_read_u8(&r) == 0 && r.bad && wire_read_u64(&r) == 0, "after the end everything is zero and bad");
    b = hex("03000000aabbcc");
    wire_reader_init(&r, b.data, b.length);
    wire_read_bytes(&r, 2);
    ok(r.bad, "a string over its bound is bad");
    b = hex("fffffffe00");
    wire_reader_init(&r, b.data, b.length);
    wire_read_bytes(&r, SIZE_MAX);
    ok(r.bad, "so is one longer than what is there");
}

static void writer(void)
{
    uint8_t out[16];
    struct wire_writer w;
    size_t mark;

    wire_writer_init(&w, out, sizeof(out));
    mark = wire_begin_bytes(&w);
    wire_write_u8(&w, 7);
    wire_end_bytes(&w, mark);
    ok(same(hex("0100000007"), out, wire_written(&w)), "a length is filled in afterwards");
    wire_write_raw(&w, out, 12);
    ok(w.full && wire_written(&w) == 5, "what does not fit is not begun");
    wire_write_u8(&w, 1);
    ok(wire_written(&w) == 5, "and nothing follows it");
}

static bool reads(enum wire_layout layout, const char *digits, struct wire_params *p)
{
    return wire_params_read(layout, hex(digits), p);
}

static void params(void)
{
    struct wire_params p;

    ok(reads(LAYOUT_none, "", &p) && !reads(LAYOUT_none, "00", &p), "no parameter is empty");
    ok(reads(LAYOUT_iv16, "000102030405060708090a0b0c0d0e0f", &p) && p.iv.length == 16, "an initial value has 16 bytes");
    ok(!reads(LAYOUT_iv16, "0001", &p) && !reads(LAYOUT_iv16, "", &p), "and no other length");
    ok(reads(LAYOUT_gcm, "0100000061" "00000000" "80000000", &p) && p.bits == 128, "GCM has iv, data and tag");
    ok(!reads(LAYOUT_gcm, "00000000" "00000000" "80000000", &p), "not without an iv");
    ok(!reads(LAYOUT_gcm, "0100000061" "00000000" "81000000", &p), "not with a tag of 129 bits");
    ok(!reads(LAYOUT_gcm, "0100000061" "00000000" "80000000" "00", &p), "not with bytes after it");
    ok(!reads(LAYOUT_ctr, "00000000" "10000000" "000102030405060708090a0b0c0d0e0f", &p), "a counter has at least one bit");
    ok(reads(LAYOUT_eddsa, "0000" "00000000", &p) && !p.present, "EdDSA may have no parameter");
}

static void templates(void)
{
    struct wire_template t;
    struct wire_reader r;
    struct wire_bytes b = hex("01000000" "1100000000000000" "01000000" "aa");

    wire_reader_init(&r, b.data, b.length);
    wire_read_template(&r, &t);
    ok(wire_reader_done(&r) && t.count == 1 && wire_template_find(&t, CKA_VALUE), "a template holds its attributes");
    b = hex("81000000");
    wire_reader_init(&r, b.data, b.length);
    wire_read_template(&r, &t);
    ok(r.bad && t.count == 0, "over 128 attributes are refused before any is read");
    ok(wire_attribute_is_material(CKO_SECRET_KEY, CKA_VALUE) && wire_attribute_is_material(CKO_PRIVATE_KEY, CKA_PRIME_1) &&
           !wire_attribute_is_material(CKO_CERTIFICATE, CKA_VALUE) && !wire_attribute_is_material(CKO_PRIVATE_KEY, CKA_MODULUS),
       "material is the secret parts of keys and nothing else");
}

int main(void)
{
    uint8_t bytes[WIRE_HEADER_BYTES];
    struct wire_header h = {.length = WIRE_BODY_MAX + 1};

    reader();
    writer();
    params();
    templates();
    wire_write_header(bytes, &h);
    ok(wire_read_header(bytes, &h) == -1, "a body over the bound cannot be read");
    return done();
}
