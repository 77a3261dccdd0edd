#include "params.h"

#include "digest_state.h"
#include "limits.h"

#include <string.h>

enum { ITERATIONS_MAX = 10 * 1000 * 1000 };
enum { GCM_IV_MAX = 256, SIGN_CONTEXT_MAX = 255, HEDGE_MAX = 2, CCM_NONCE_MAX = 13, POINT_MAX = 1032, MAC_MAX = 64, TLS_RANDOM_MAX = 256 };

/* One part of a parameter, in the order in which it travels. WHOLE is all of it, without a length before it. */
enum kind { END, FLAG, U8, U32, U64, BYTES, WHOLE };

struct field {
    uint8_t kind;
    uint8_t at;         /* of the member of struct wire_params */
    uint16_t least, most; /* bytes */
};

enum { FIELDS_MAX = 8 };

struct layout {
    bool (*check)(const struct wire_params *p); /* NULL: what the fields say is all */
    struct field fields[FIELDS_MAX];            /* END behind the last */
};

static bool tag_bits_ok(uint32_t bits) { return bits == 32 || bits == 64 || (bits >= 96 && bits <= 128 && bits % 8 == 0); }

static bool check_ctr(const struct wire_params *p) { return p->bits >= 1 && p->bits <= 128; }

static bool check_gcm(const struct wire_params *p) { return tag_bits_ok(p->bits); }

/* NIST SP 800-38C, A.1: the length is written into the 15 - n bytes that a nonce of n bytes leaves. */
static bool check_ccm(const struct wire_params *p)
{
    return p->data_length <= WIRE_DATA_MAX && p->data_length >> (8 * (p->iv.length <= 12 ? 3 : 2)) == 0 && p->bits >= 32 &&
           p->bits <= 128 && p->bits % 16 == 0;
}

static bool check_chacha20(const struct wire_params *p)
{
    return p->iv.length + p->point.length == 16 && (p->point.length == 4 || p->point.length == 8);
}

static bool check_hkdf(const struct wire_params *p) { return p->bits >= 1 && p->bits <= 3 && !(p->key && p->iv.length); }

/* The base key is the PRF's, or the nonces are: a new key goes with the first. */
static bool check_ike(const struct wire_params *p) { return !(p->present && p->key); }

static bool check_key(const struct wire_params *p) { return p->key != 0; }

static bool check_pbkdf2(const struct wire_params *p) { return p->count >= 1 && p->count <= ITERATIONS_MAX; }

static bool check_aes_bits(const struct wire_params *p) { return p->bits == 128 || p->bits == 192 || p->bits == 256; }

static bool check_tls_master(const struct wire_params *p) { return p->part == TLS_MASTER || p->part == TLS_VERSION; }

static bool check_tls_keys(const struct wire_params *p)
{
    return p->part <= TLS_SERVER_IV && p->sizes[0] <= MAC_MAX && p->sizes[1] <= MAC_MAX && p->sizes[2] <= 16;
}

static bool check_kbkdf(const struct wire_params *p)
{
    return p->sizes[0] <= p->sizes[1] && p->sizes[1] <= WIRE_COMPONENT_MAX;
}

static bool check_mac_length(const struct wire_params *p) { return p->bits >= 1 && p->bits <= MAC_MAX; }

static bool check_tls_mac(const struct wire_params *p) { return check_mac_length(p) && (p->part == 1 || p->part == 2); }

static bool check_hedge(const struct wire_params *p) { return p->hedge <= HEDGE_MAX; }

static bool check_digest_state(const struct wire_params *p)
{
    struct wire_digest_state state;

    return p->iv.length == 0 || wire_digest_state_read(p->iv, &state);
}

static bool check_iv8_optional(const struct wire_params *p) { return p->iv.length == 0 || p->iv.length == 8; }

static bool check_iv4_optional(const struct wire_params *p) { return p->iv.length == 0 || p->iv.length == 4; }

#define NUMBER(kind, member) {kind, offsetof(struct wire_params, member), 0, 0}
#define BETWEEN(member, least, most) {BYTES, offsetof(struct wire_params, member), least, most}
#define UP_TO(member, most) BETWEEN(member, 0, most)
#define ALL_OF_IT(member, least, most) {WHOLE, offsetof(struct wire_params, member), least, most}

static const struct layout layouts[WIRE_LAYOUTS] = {
    [LAYOUT_none] = {NULL, {{END, 0, 0, 0}}},
    [LAYOUT_version] = {NULL, {ALL_OF_IT(iv, 2, 2)}},
    [LAYOUT_iv16] = {NULL, {ALL_OF_IT(iv, 16, 16)}},
    [LAYOUT_iv8] = {NULL, {ALL_OF_IT(iv, 8, 8)}},
    [LAYOUT_iv8_optional] = {check_iv8_optional, {ALL_OF_IT(iv, 0, 8)}},
    [LAYOUT_iv4_optional] = {check_iv4_optional, {ALL_OF_IT(iv, 0, 4)}},
    [LAYOUT_digest_state] = {check_digest_state, {ALL_OF_IT(iv, 0, WIRE_PARAMS_MAX)}},
    [LAYOUT_public] = {NULL, {ALL_OF_IT(point, 1, POINT_MAX)}},
    [LAYOUT_ctr] = {check_ctr, {NUMBER(U32, bits), BETWEEN(iv, 16, 16)}},
    [LAYOUT_gcm] = {check_gcm, {BETWEEN(iv, 1, GCM_IV_MAX), UP_TO(aad, WIRE_PARAMS_MAX), NUMBER(U32, bits)}},
    [LAYOUT_pss] = {NULL, {NUMBER(U64, hash), NUMBER(U64, mgf), NUMBER(U64, salt_length)}},
    [LAYOUT_oaep] = {NULL, {NUMBER(U64, hash), NUMBER(U64, mgf), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_rsa_aes] = {check_aes_bits,
                        {NUMBER(U32, bits), NUMBER(U64, hash), NUMBER(U64, mgf), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_ecdh_aes] = {check_aes_bits, {NUMBER(U32, bits), NUMBER(U64, hash), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_ecdh1] = {NULL, {NUMBER(U64, hash), UP_TO(aad, WIRE_PARAMS_MAX), UP_TO(point, POINT_MAX)}},
    [LAYOUT_eddsa] = {NULL, {NUMBER(FLAG, present), NUMBER(FLAG, prehash), UP_TO(aad, SIGN_CONTEXT_MAX)}},
    [LAYOUT_position] = {NULL, {NUMBER(U32, bits)}},
    [LAYOUT_mac_length] = {check_mac_length, {NUMBER(U32, bits)}},
    [LAYOUT_ccm] = {check_ccm,
                    {NUMBER(U64, data_length), BETWEEN(iv, 7, CCM_NONCE_MAX), UP_TO(aad, WIRE_PARAMS_MAX), NUMBER(U32, bits)}},
    [LAYOUT_chacha20] = {check_chacha20, {UP_TO(point, 8), UP_TO(iv, 12)}},
    [LAYOUT_chacha20_poly1305] = {NULL, {BETWEEN(iv, 12, 12), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_data] = {NULL, {UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_iv_data] = {NULL, {BETWEEN(iv, 16, 16), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_iv8_data] = {NULL, {BETWEEN(iv, 8, 8), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_key] = {check_key, {NUMBER(U64, key)}},
    [LAYOUT_hkdf] = {check_hkdf,
                     {NUMBER(U64, key), NUMBER(U32, bits), NUMBER(U64, hash), UP_TO(iv, WIRE_PARAMS_MAX), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_ike] = {check_ike,
                    {NUMBER(U64, key), NUMBER(U64, hash), NUMBER(FLAG, present), UP_TO(iv, WIRE_PARAMS_MAX), UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_pbkdf2] = {check_pbkdf2, {NUMBER(U64, hash), NUMBER(U64, count), UP_TO(iv, WIRE_PARAMS_MAX)}},
    [LAYOUT_tls_master] = {check_tls_master,
                           {NUMBER(U8, part), NUMBER(U64, hash), UP_TO(iv, TLS_RANDOM_MAX), UP_TO(point, TLS_RANDOM_MAX)}},
    [LAYOUT_tls_keys] = {check_tls_keys,
                         {NUMBER(U8, part), NUMBER(U64, hash), UP_TO(iv, TLS_RANDOM_MAX), UP_TO(point, TLS_RANDOM_MAX),
                          NUMBER(U32, sizes[0]), NUMBER(U32, sizes[1]), NUMBER(U32, sizes[2])}},
    [LAYOUT_tls_kdf] = {NULL,
                        {NUMBER(U64, hash), UP_TO(iv, TLS_RANDOM_MAX), UP_TO(point, TLS_RANDOM_MAX), UP_TO(aad, WIRE_PARAMS_MAX),
                         NUMBER(FLAG, present), UP_TO(context, UINT16_MAX)}},
    [LAYOUT_tls_mac] = {check_tls_mac, {NUMBER(U64, hash), NUMBER(U32, bits), NUMBER(U8, part)}},
    [LAYOUT_kbkdf] = {check_kbkdf,
                      {NUMBER(U32, sizes[0]), NUMBER(U32, sizes[1]), NUMBER(U64, hash), UP_TO(iv, WIRE_PARAMS_MAX),
                       UP_TO(aad, WIRE_PARAMS_MAX)}},
    [LAYOUT_sign_context] = {check_hedge, {NUMBER(U8, hedge), UP_TO(aad, SIGN_CONTEXT_MAX)}},
    [LAYOUT_hash_sign_context] = {check_hedge, {NUMBER(U64, hash), NUMBER(U8, hedge), UP_TO(aad, SIGN_CONTEXT_MAX)}},
};

_Static_assert(sizeof(struct wire_params) <= UINT8_MAX, "a member's place is one byte");

static bool read_bytes(struct wire_bytes bytes, const struct field *f, struct wire_bytes *out)
{
    *out = bytes;
    return bytes.length >= f->least && bytes.length <= f->most;
}

/* What one field takes; false when it is not what its row says. */
static bool read_field(struct wire_reader *r, const struct field *f, struct wire_params *out)
{
    void *member = (uint8_t *)out + f->at;

    if (f->kind == BYTES)
        return read_bytes(wire_read_bytes(r, f->most), f, member);
    switch ((enum kind)f->kind) {
    case FLAG:
        *(bool *)member = wire_read_u8(r) != 0;
        return true;
    case U8:
        *(uint8_t *)member = wire_read_u8(r);
        return true;
    case U32:
        *(uint32_t *)member = wire_read_u32(r);
        return true;
    case U64:
        *(uint64_t *)member = wire_read_u64(r);
        return true;
    case WHOLE:
        return read_bytes(wire_read_rest(r), f, member);
    case BYTES:
    case END:
        break;
    }
    return false;
}

bool wire_params_fit(enum wire_layout layout, const struct wire_params *p)
{
    const struct layout *l = &layouts[layout];

    for (const struct field *f = l->fields; f->kind != END; f++) {
        const struct wire_bytes *bytes = (const void *)((const uint8_t *)p + f->at);

        if ((f->kind == BYTES || f->kind == WHOLE) && (bytes->length < f->least || bytes->length > f->most))
            return false;
    }
    return !l->check || l->check(p);
}

bool wire_params_read(enum wire_layout layout, struct wire_bytes bytes, struct wire_params *out)
{
    const struct layout *l = &layouts[layout];
    struct wire_reader r;
    bool ok = true;

    *out = (struct wire_params){0};
    wire_reader_init(&r, bytes.data ? (const void *)bytes.data : "", bytes.length);
    for (const struct field *f = l->fields; ok && f->kind != END; f++)
        ok = read_field(&r, f, out);
    if (layout == LAYOUT_chacha20_poly1305)
        out->bits = 128; /* of its tag, which has one length */
    return ok && wire_reader_done(&r) && (!l->check || l->check(out));
}

static void write_field(struct wire_writer *w, const struct field *f, const struct wire_params *p)
{
    const void *member = (const uint8_t *)p + f->at;
    const struct wire_bytes *bytes = member;

    switch ((enum kind)f->kind) {
    case FLAG:
        wire_write_u8(w, *(const bool *)member);
        break;
    case U8:
        wire_write_u8(w, *(const uint8_t *)member);
        break;
    case U32:
        wire_write_u32(w, *(const uint32_t *)member);
        break;
    case U64:
        wire_write_u64(w, *(const uint64_t *)member);
        break;
    case BYTES:
        wire_write_bytes(w, bytes->data, bytes->length);
        break;
    case WHOLE:
        wire_write_raw(w, bytes->data, bytes->length);
        break;
    case END:
        break;
    }
}

void wire_params_write(enum wire_layout layout, const struct wire_params *p, struct wire_writer *w)
{
    for (const struct field *f = layouts[layout].fields; f->kind != END; f++)
        write_field(w, f, p);
}
