#include "params.h"

#include "digest_state.h"
#include "limits.h"

enum { ITERATIONS_MAX = 10 * 1000 * 1000 };
enum { GCM_IV_MAX = 256, SIGN_CONTEXT_MAX = 255, HEDGE_MAX = 2, CCM_NONCE_MAX = 13, POINT_MAX = 1032, MAC_MAX = 64, TLS_RANDOM_MAX = 256 };

static bool tag_bits_ok(uint32_t bits) { return bits == 32 || bits == 64 || (bits >= 96 && bits <= 128 && bits % 8 == 0); }

static bool read_iv(struct wire_bytes bytes, size_t length, bool optional, struct wire_params *out)
{
    out->iv = bytes;
    return bytes.length == length || (optional && bytes.length == 0);
}

/* NIST SP 800-38C, A.1: the length is written into the 15 - n bytes that a nonce of n bytes leaves. */
static bool ccm_length_fits(const struct wire_params *p)
{
    return p->data_length <= WIRE_DATA_MAX && p->data_length >> (8 * (p->iv.length <= 12 ? 3 : 2)) == 0;
}

static bool check(enum wire_layout layout, const struct wire_params *p)
{
    switch (layout) {
    case LAYOUT_ctr:
        return p->iv.length == 16 && p->bits >= 1 && p->bits <= 128;
    case LAYOUT_gcm:
        return p->iv.length >= 1 && tag_bits_ok(p->bits);
    case LAYOUT_ccm:
        return p->iv.length >= 7 && ccm_length_fits(p) && p->bits >= 32 && p->bits <= 128 && p->bits % 16 == 0;
    case LAYOUT_chacha20:
        return p->iv.length + p->point.length == 16 && (p->point.length == 4 || p->point.length == 8);
    case LAYOUT_chacha20_poly1305:
        return p->iv.length == 12;
    case LAYOUT_iv_data:
        return p->iv.length == 16;
    case LAYOUT_hkdf:
        return p->bits >= 1 && p->bits <= 3 && !(p->key && p->iv.length);
    case LAYOUT_key:
        return p->key != 0;
    case LAYOUT_pbkdf2:
        return p->count >= 1 && p->count <= ITERATIONS_MAX;
    case LAYOUT_ecdh_aes:
    case LAYOUT_rsa_aes:
        return p->bits == 128 || p->bits == 192 || p->bits == 256;
    case LAYOUT_tls_master:
        return p->part == TLS_MASTER || p->part == TLS_VERSION;
    case LAYOUT_tls_keys:
        return p->part <= TLS_SERVER_IV && p->sizes[0] <= MAC_MAX && p->sizes[1] <= MAC_MAX && p->sizes[2] <= 16;
    case LAYOUT_kbkdf:
        return p->sizes[0] <= p->sizes[1] && p->sizes[1] <= WIRE_COMPONENT_MAX;
    case LAYOUT_tls_mac:
        return p->bits >= 1 && p->bits <= MAC_MAX && (p->part == 1 || p->part == 2);
    case LAYOUT_mac_length:
        return p->bits >= 1 && p->bits <= MAC_MAX;
    case LAYOUT_sign_context:
    case LAYOUT_hash_sign_context:
        return p->hedge <= HEDGE_MAX;
    default:
        return true;
    }
}

static void read_randoms(struct wire_reader *r, struct wire_params *out)
{
    out->iv = wire_read_bytes(r, TLS_RANDOM_MAX);
    out->point = wire_read_bytes(r, TLS_RANDOM_MAX);
}

static void write_randoms(struct wire_writer *w, const struct wire_params *p)
{
    wire_write_bytes(w, p->iv.data, p->iv.length);
    wire_write_bytes(w, p->point.data, p->point.length);
}

static bool read_digest_state(struct wire_bytes bytes, struct wire_params *out)
{
    struct wire_digest_state state;

    out->iv = bytes;
    return bytes.length == 0 || wire_digest_state_read(bytes, &state);
}

bool wire_params_read(enum wire_layout layout, struct wire_bytes bytes, struct wire_params *out)
{
    struct wire_reader r;

    *out = (struct wire_params){0};
    wire_reader_init(&r, bytes.data ? (const void *)bytes.data : "", bytes.length);
    switch (layout) {
    case LAYOUT_none:
        return bytes.length == 0;
    case LAYOUT_version:
        return read_iv(bytes, 2, false, out);
    case LAYOUT_iv16:
        return read_iv(bytes, 16, false, out);
    case LAYOUT_iv8:
        return read_iv(bytes, 8, false, out);
    case LAYOUT_iv8_optional:
        return read_iv(bytes, 8, true, out);
    case LAYOUT_iv4_optional:
        return read_iv(bytes, 4, true, out);
    case LAYOUT_digest_state:
        return read_digest_state(bytes, out);
    case LAYOUT_public:
        out->point = bytes;
        return bytes.length >= 1 && bytes.length <= POINT_MAX;
    case LAYOUT_ctr:
        out->bits = wire_read_u32(&r);
        out->iv = wire_read_bytes(&r, 16);
        break;
    case LAYOUT_gcm:
        out->iv = wire_read_bytes(&r, GCM_IV_MAX);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        out->bits = wire_read_u32(&r);
        break;
    case LAYOUT_pss:
        out->hash = wire_read_u64(&r);
        out->mgf = wire_read_u64(&r);
        out->salt_length = wire_read_u64(&r);
        break;
    case LAYOUT_key:
        out->key = wire_read_u64(&r);
        break;
    case LAYOUT_hkdf:
        out->key = wire_read_u64(&r);
        out->bits = wire_read_u32(&r);
        out->hash = wire_read_u64(&r);
        out->iv = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        break;
    case LAYOUT_rsa_aes:
        out->bits = wire_read_u32(&r);
        /* fall through */
    case LAYOUT_oaep:
        out->hash = wire_read_u64(&r);
        out->mgf = wire_read_u64(&r);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        break;
    case LAYOUT_ecdh_aes:
        out->bits = wire_read_u32(&r);
        out->hash = wire_read_u64(&r);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        break;
    case LAYOUT_ecdh1:
        out->hash = wire_read_u64(&r);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        out->point = wire_read_bytes(&r, POINT_MAX);
        break;
    case LAYOUT_eddsa:
        out->present = wire_read_u8(&r) != 0;
        out->prehash = wire_read_u8(&r) != 0;
        out->aad = wire_read_bytes(&r, SIGN_CONTEXT_MAX);
        break;
    case LAYOUT_position:
    case LAYOUT_mac_length:
        out->bits = wire_read_u32(&r);
        break;
    case LAYOUT_ccm:
        out->data_length = wire_read_u64(&r);
        out->iv = wire_read_bytes(&r, CCM_NONCE_MAX);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        out->bits = wire_read_u32(&r);
        break;
    case LAYOUT_chacha20:
        out->point = wire_read_bytes(&r, 8);
        out->iv = wire_read_bytes(&r, 12);
        break;
    case LAYOUT_chacha20_poly1305:
        out->iv = wire_read_bytes(&r, 12);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        out->bits = 128;
        break;
    case LAYOUT_pbkdf2:
        out->hash = wire_read_u64(&r);
        out->count = wire_read_u64(&r);
        out->iv = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        break;
    case LAYOUT_tls_master:
        out->part = wire_read_u8(&r);
        out->hash = wire_read_u64(&r);
        read_randoms(&r, out);
        break;
    case LAYOUT_tls_keys:
        out->part = wire_read_u8(&r);
        out->hash = wire_read_u64(&r);
        read_randoms(&r, out);
        for (int i = 0; i < 3; i++)
            out->sizes[i] = wire_read_u32(&r);
        break;
    case LAYOUT_tls_kdf:
        out->hash = wire_read_u64(&r);
        read_randoms(&r, out);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        out->present = wire_read_u8(&r) != 0;
        out->context = wire_read_bytes(&r, UINT16_MAX);
        break;
    case LAYOUT_kbkdf:
        out->sizes[0] = wire_read_u32(&r);
        out->sizes[1] = wire_read_u32(&r);
        out->hash = wire_read_u64(&r);
        out->iv = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        break;
    case LAYOUT_tls_mac:
        out->hash = wire_read_u64(&r);
        out->bits = wire_read_u32(&r);
        out->part = wire_read_u8(&r);
        break;
    case LAYOUT_hash_sign_context:
        out->hash = wire_read_u64(&r);
        /* fall through */
    case LAYOUT_sign_context:
        out->hedge = wire_read_u8(&r);
        out->aad = wire_read_bytes(&r, SIGN_CONTEXT_MAX);
        break;
    case LAYOUT_data:
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        break;
    case LAYOUT_iv_data:
        out->iv = wire_read_bytes(&r, 16);
        out->aad = wire_read_bytes(&r, WIRE_PARAMS_MAX);
        break;
    }
    return wire_reader_done(&r) && check(layout, out);
}

void wire_params_write(enum wire_layout layout, const struct wire_params *p, struct wire_writer *w)
{
    switch (layout) {
    case LAYOUT_none:
        break;
    case LAYOUT_version:
    case LAYOUT_iv16:
    case LAYOUT_iv8:
    case LAYOUT_iv8_optional:
    case LAYOUT_iv4_optional:
    case LAYOUT_digest_state:
        wire_write_raw(w, p->iv.data, p->iv.length);
        break;
    case LAYOUT_public:
        wire_write_raw(w, p->point.data, p->point.length);
        break;
    case LAYOUT_ctr:
        wire_write_u32(w, p->bits);
        wire_write_bytes(w, p->iv.data, p->iv.length);
        break;
    case LAYOUT_gcm:
        wire_write_bytes(w, p->iv.data, p->iv.length);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        wire_write_u32(w, p->bits);
        break;
    case LAYOUT_pss:
        wire_write_u64(w, p->hash);
        wire_write_u64(w, p->mgf);
        wire_write_u64(w, p->salt_length);
        break;
    case LAYOUT_key:
        wire_write_u64(w, p->key);
        break;
    case LAYOUT_hkdf:
        wire_write_u64(w, p->key);
        wire_write_u32(w, p->bits);
        wire_write_u64(w, p->hash);
        wire_write_bytes(w, p->iv.data, p->iv.length);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    case LAYOUT_rsa_aes:
        wire_write_u32(w, p->bits);
        /* fall through */
    case LAYOUT_oaep:
        wire_write_u64(w, p->hash);
        wire_write_u64(w, p->mgf);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    case LAYOUT_ecdh_aes:
        wire_write_u32(w, p->bits);
        wire_write_u64(w, p->hash);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    case LAYOUT_ecdh1:
        wire_write_u64(w, p->hash);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        wire_write_bytes(w, p->point.data, p->point.length);
        break;
    case LAYOUT_eddsa:
        wire_write_u8(w, p->present);
        wire_write_u8(w, p->prehash);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    case LAYOUT_position:
    case LAYOUT_mac_length:
        wire_write_u32(w, p->bits);
        break;
    case LAYOUT_ccm:
        wire_write_u64(w, p->data_length);
        wire_write_bytes(w, p->iv.data, p->iv.length);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        wire_write_u32(w, p->bits);
        break;
    case LAYOUT_chacha20:
        wire_write_bytes(w, p->point.data, p->point.length);
        wire_write_bytes(w, p->iv.data, p->iv.length);
        break;
    case LAYOUT_chacha20_poly1305:
    case LAYOUT_iv_data:
        wire_write_bytes(w, p->iv.data, p->iv.length);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    case LAYOUT_pbkdf2:
        wire_write_u64(w, p->hash);
        wire_write_u64(w, p->count);
        wire_write_bytes(w, p->iv.data, p->iv.length);
        break;
    case LAYOUT_tls_master:
        wire_write_u8(w, p->part);
        wire_write_u64(w, p->hash);
        write_randoms(w, p);
        break;
    case LAYOUT_tls_keys:
        wire_write_u8(w, p->part);
        wire_write_u64(w, p->hash);
        write_randoms(w, p);
        for (int i = 0; i < 3; i++)
            wire_write_u32(w, p->sizes[i]);
        break;
    case LAYOUT_tls_kdf:
        wire_write_u64(w, p->hash);
        write_randoms(w, p);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        wire_write_u8(w, p->present);
        wire_write_bytes(w, p->context.data, p->context.length);
        break;
    case LAYOUT_kbkdf:
        wire_write_u32(w, p->sizes[0]);
        wire_write_u32(w, p->sizes[1]);
        wire_write_u64(w, p->hash);
        wire_write_bytes(w, p->iv.data, p->iv.length);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    case LAYOUT_tls_mac:
        wire_write_u64(w, p->hash);
        wire_write_u32(w, p->bits);
        wire_write_u8(w, p->part);
        break;
    case LAYOUT_hash_sign_context:
        wire_write_u64(w, p->hash);
        /* fall through */
    case LAYOUT_sign_context:
        wire_write_u8(w, p->hedge);
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    case LAYOUT_data:
        wire_write_bytes(w, p->aad.data, p->aad.length);
        break;
    }
}
