#include "mechanism.h"

#include "mechanism_read.h"

#include "../wire/limits.h"

#include <stdlib.h>
#include <string.h>

/* CK_GCM_PARAMS of 2.20 has no ulIvBits; the length of the parameter tells them apart. */
struct gcm_params_2_20 {
    CK_BYTE *iv;
    CK_ULONG iv_len;
    CK_BYTE *aad;
    CK_ULONG aad_len;
    CK_ULONG tag_bits;
};

enum { PACKED_NUMBERS_MAX = 64 };

bool sk_read_view(struct wire_bytes *out, const void *data, CK_ULONG length)
{
    out->data = length ? data : NULL;
    out->length = length;
    return length <= WIRE_PARAMS_MAX && (data || !length);
}

bool sk_read_struct(void *to, size_t size, const CK_MECHANISM *m)
{
    if (!m->pParameter || m->ulParameterLen != size)
        return false;
    memcpy(to, m->pParameter, size);
    return true;
}

static bool read_gcm(const CK_MECHANISM *m, struct wire_params *p)
{
    struct gcm_params_2_20 old;
    CK_GCM_PARAMS now;

    if (sk_read_struct(&old, sizeof(old), m))
        now = (CK_GCM_PARAMS){old.iv, old.iv_len, 0, old.aad, old.aad_len, old.tag_bits};
    else if (!sk_read_struct(&now, sizeof(now), m))
        return false;
    /* ulIvBits is what callers get wrong: it counts only where ulIvLen is missing */
    if (now.iv_len == 0 && now.iv_bits % 8 == 0)
        now.iv_len = now.iv_bits / 8;
    p->bits = now.tag_bits <= 128 ? (uint32_t)now.tag_bits : 0;
    return sk_read_view(&p->iv, now.iv_ptr, now.iv_len) && sk_read_view(&p->aad, now.aad_ptr, now.aad_len);
}

static bool read_ctr(const CK_MECHANISM *m, CK_AES_CTR_PARAMS *own, struct wire_params *p)
{
    if (!sk_read_struct(own, sizeof(*own), m))
        return false;
    p->bits = own->counter_bits <= 128 ? (uint32_t)own->counter_bits : 0;
    return sk_read_view(&p->iv, own->cb, sizeof(own->cb));
}

static bool read_pss(const CK_MECHANISM *m, struct wire_params *p)
{
    CK_RSA_PKCS_PSS_PARAMS from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->hash = from.hash_alg;
    p->mgf = from.mgf;
    p->salt_length = from.s_len;
    return true;
}

bool sk_read_oaep(const CK_MECHANISM *m, struct wire_params *p)
{
    CK_RSA_PKCS_OAEP_PARAMS from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->hash = from.hash_alg;
    p->mgf = from.mgf;
    if (from.source != CKZ_DATA_SPECIFIED && !(from.source == 0 && from.source_data_len == 0))
        return false;
    return sk_read_view(&p->aad, from.source_data, from.source_data_len);
}

/* CK_X9_42_DH1_DERIVE_PARAMS has the same members. */
static bool read_ecdh1(const CK_MECHANISM *m, struct wire_params *p)
{
    CK_ECDH1_DERIVE_PARAMS from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->hash = from.kdf;
    return sk_read_view(&p->aad, from.shared_data, from.shared_data_len) &&
           sk_read_view(&p->point, from.public_data, from.public_data_len);
}

static bool read_eddsa(const CK_MECHANISM *m, struct wire_params *p)
{
    struct sk_eddsa_params from;

    if (m->ulParameterLen == 0)
        return true;
    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->present = true;
    p->prehash = from.phFlag != CK_FALSE;
    return sk_read_view(&p->aad, from.pContextData, from.ulContextDataLen);
}

static bool read_mac_length(const CK_MECHANISM *m, struct wire_params *p)
{
    CK_ULONG length;

    if (!sk_read_struct(&length, sizeof(length), m))
        return false;
    p->bits = length <= UINT32_MAX ? (uint32_t)length : 0;
    return true;
}

static bool read_position(const CK_MECHANISM *m, struct wire_params *p)
{
    CK_ULONG bit;

    if (!sk_read_struct(&bit, sizeof(bit), m) || bit > UINT32_MAX)
        return false;
    p->bits = (uint32_t)bit;
    return true;
}

/* What is no view into the caller's memory: `p` then points into one. */
union held {
    CK_AES_CTR_PARAMS ctr;
    CK_AES_CBC_ENCRYPT_DATA_PARAMS iv_data;
    CK_DES_CBC_ENCRYPT_DATA_PARAMS iv8_data;
    uint8_t fields[SK_FIELDS_BYTES];
};

static bool read_iv(const CK_MECHANISM *m, struct wire_params *p) { return sk_read_view(&p->iv, m->pParameter, m->ulParameterLen); }

static bool read_public(const CK_MECHANISM *m, struct wire_params *p)
{
    return sk_read_view(&p->point, m->pParameter, m->ulParameterLen);
}

/* Callers leave it as their stack was: PowerDNS with CKM_SHA_1. */
static bool ignore(const CK_MECHANISM *m, struct wire_params *p)
{
    (void)m, (void)p;
    return true;
}

/* By layout; NULL where what was read needs a place of its own. */
static bool (*const readers[WIRE_LAYOUTS])(const CK_MECHANISM *m, struct wire_params *p) = {
    [LAYOUT_none] = ignore,
    [LAYOUT_digest_state] = ignore,
    [LAYOUT_version] = read_iv,
    [LAYOUT_iv16] = read_iv,
    [LAYOUT_iv8] = read_iv,
    [LAYOUT_iv8_optional] = read_iv,
    [LAYOUT_iv4_optional] = read_iv,
    [LAYOUT_public] = read_public,
    [LAYOUT_gcm] = read_gcm,
    [LAYOUT_pss] = read_pss,
    [LAYOUT_oaep] = sk_read_oaep,
    [LAYOUT_hkdf] = sk_read_hkdf,
    [LAYOUT_ike] = sk_read_ike,
    [LAYOUT_rsa_aes] = sk_read_rsa_aes,
    [LAYOUT_ecdh1] = read_ecdh1,
    [LAYOUT_eddsa] = read_eddsa,
    [LAYOUT_mac_length] = read_mac_length,
    [LAYOUT_position] = read_position,
    [LAYOUT_ccm] = sk_read_ccm,
    [LAYOUT_chacha20] = sk_read_chacha20,
    [LAYOUT_chacha20_poly1305] = sk_read_chacha20_poly1305,
    [LAYOUT_data] = sk_read_data,
    [LAYOUT_key] = sk_read_key,
    [LAYOUT_pbkdf2] = sk_read_pbkdf2,
    [LAYOUT_tls_master] = sk_read_tls_master,
    [LAYOUT_tls_keys] = sk_read_tls_keys,
    [LAYOUT_tls_kdf] = sk_read_tls_kdf,
    [LAYOUT_tls_mac] = sk_read_tls_mac,
    [LAYOUT_ecdh_aes] = sk_read_ecdh_aes,
    [LAYOUT_sign_context] = sk_read_sign_context,
    [LAYOUT_hash_sign_context] = sk_read_hash_sign_context,
};

static bool read_params(enum wire_layout layout, const CK_MECHANISM *m, union held *held, struct wire_params *p)
{
    switch (layout) {
    case LAYOUT_ctr:
        return read_ctr(m, &held->ctr, p);
    case LAYOUT_iv_data:
        return sk_read_iv_data(m, &held->iv_data, p);
    case LAYOUT_iv8_data:
        return sk_read_iv8_data(m, &held->iv8_data, p);
    case LAYOUT_kbkdf:
        return sk_read_kbkdf(m, held->fields, p);
    default:
        return readers[layout] && readers[layout](m, p);
    }
}

/* Two parameters of one shape by accident cost a wrong length hint; the keeper checks the real ones. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const uint8_t *at, size_t length)
{
    uint64_t word = 0;

    for (; length >= sizeof(word); at += sizeof(word), length -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash = mix(hash, word);
    }
    for (word = length; length > 0; length--)
        word = word << 8 | *at++;
    return mix(hash, word);
}

static uint64_t shape_of(const struct sk_mechanism *m, const struct wire_params *p)
{
    uint64_t hash = mix(mix(0, p->iv.length), p->bits);

    return p->iv.length ? hash : mix_bytes(hash, sk_mechanism_params(m), m->length);
}

static CK_RV pack(const struct wire_params *p, struct sk_mechanism *out)
{
    const size_t room = PACKED_NUMBERS_MAX + p->iv.length + p->aad.length + p->point.length + p->context.length;
    struct wire_writer w;

    wire_writer_init(&w, out->near, sizeof(out->near));
    wire_params_write(out->row->layout, p, &w);
    if (w.full) {
        out->far = malloc(room);
        if (!out->far)
            return CKR_HOST_MEMORY;
        wire_writer_init(&w, out->far, room);
        wire_params_write(out->row->layout, p, &w);
    }
    out->length = wire_written(&w);
    out->shape = shape_of(out, p);
    if (out->row->layout == LAYOUT_gcm || out->row->layout == LAYOUT_ccm || out->row->layout == LAYOUT_chacha20_poly1305)
        out->tag_bytes = p->bits / 8;
    if (w.full || out->length > WIRE_PARAMS_MAX || !wire_params_fit(out->row->layout, p))
        return CKR_MECHANISM_PARAM_INVALID;
    return CKR_OK;
}

CK_RV sk_mechanism_pack(const CK_MECHANISM *from, uint32_t can, struct sk_mechanism *out)
{
    struct wire_params p = {0};
    union held held;
    CK_RV rv;

    *out = (struct sk_mechanism){0};
    if (!from)
        return CKR_ARGUMENTS_BAD;
    out->row = wire_mechanism_find(from->mechanism);
    if (!out->row || !(out->row->flags & can))
        return CKR_MECHANISM_INVALID;
    if (!read_params(out->row->layout, from, &held, &p))
        return CKR_MECHANISM_PARAM_INVALID;
    rv = pack(&p, out);
    if (rv != CKR_OK)
        sk_mechanism_clear(out);
    return rv;
}

uint64_t sk_mechanism_other_key(const CK_MECHANISM *from)
{
    const struct wire_mechanism *row = from ? wire_mechanism_find(from->mechanism) : NULL;
    struct wire_params p = {0};
    union held held;

    return row && row->flags & CAN_DERIVE && read_params(row->layout, from, &held, &p) ? p.key : 0;
}

bool sk_mechanism_copy(const struct sk_mechanism *from, struct sk_mechanism *out)
{
    *out = *from;
    if (!from->far)
        return true;
    out->far = malloc(from->length);
    if (out->far)
        memcpy(out->far, from->far, from->length);
    else
        out->length = 0;
    return out->far != NULL;
}

void sk_mechanism_clear(struct sk_mechanism *m)
{
    wire_wipe(sk_mechanism_params(m), m->length);
    free(m->far);
    m->far = NULL;
    m->length = 0;
}

void sk_mechanism_write(struct wire_writer *w, const struct sk_mechanism *m)
{
    wire_write_u64(w, m->row->type);
    wire_write_bytes(w, sk_mechanism_params(m), m->length);
}
