/* Parameters of TLS's mechanisms (PKCS#11 3.2, 6.38; of SSL 3.0, TLS 1.0 and 1.1: 2.40, 2.34). */
#include "tls.h"

#include "../wire/tls.h"

#include <stddef.h>

struct kdf_params {
    CK_MECHANISM_TYPE hash;
    CK_BYTE *label;
    CK_ULONG label_len;
    struct sk_tls_randoms randoms;
    CK_BYTE *context;
    CK_ULONG context_len;
};

struct mac_params {
    CK_MECHANISM_TYPE hash;
    CK_ULONG length;
    CK_ULONG from;
};

static bool read_randoms(const struct sk_tls_randoms *from, struct wire_params *p)
{
    return sk_read_view(&p->iv, from->client, from->client_len) && sk_read_view(&p->point, from->server, from->server_len);
}

/* CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS; NSS's own has the same members */
struct extended_params {
    CK_MECHANISM_TYPE hash;
    CK_BYTE *session_hash;
    CK_ULONG session_hash_len;
    CK_VERSION *version;
};

static bool extended_params(const CK_MECHANISM *m, struct sk_tls_master_params *out)
{
    struct extended_params from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    *out = (struct sk_tls_master_params){{from.session_hash, from.session_hash_len, NULL, 0}, from.version, from.hash};
    return true;
}

bool sk_tls_master_params(const CK_MECHANISM *m, struct sk_tls_master_params *out)
{
    if (wire_tls_is_extended(m->mechanism))
        return extended_params(m, out);
    out->hash = wire_tls_old_prf(m->mechanism); /* whose structures end before it */
    return sk_read_struct(out, out->hash ? offsetof(struct sk_tls_master_params, hash) : sizeof(*out), m);
}

bool sk_tls_keys_params(const CK_MECHANISM *m, struct sk_tls_keys_params *out)
{
    out->hash = wire_tls_old_prf(m->mechanism);
    return sk_read_struct(out, out->hash ? offsetof(struct sk_tls_keys_params, hash) : sizeof(*out), m);
}

bool sk_read_tls_master(const CK_MECHANISM *m, struct wire_params *p)
{
    struct sk_tls_master_params from;

    if (!sk_tls_master_params(m, &from))
        return false;
    p->part = TLS_MASTER;
    p->hash = from.hash;
    return read_randoms(&from.randoms, p) && (wire_tls_is_rsa(m->mechanism) || !from.version);
}

static bool read_size(CK_ULONG bits, uint32_t *bytes)
{
    *bytes = bits <= 4096 ? (uint32_t)(bits / 8) : 0;
    return bits <= 4096 && bits % 8 == 0;
}

/* What CKM_TLS12_KEY_SAFE_DERIVE is told of IVs it ignores. */
bool sk_read_tls_keys(const CK_MECHANISM *m, struct wire_params *p)
{
    struct sk_tls_keys_params from;

    if (!sk_tls_keys_params(m, &from) || from.is_export || !from.out)
        return false;
    p->hash = from.hash;
    if (m->mechanism == CKM_TLS12_KEY_SAFE_DERIVE)
        from.iv_bits = 0;
    return read_size(from.mac_bits, &p->sizes[0]) && read_size(from.key_bits, &p->sizes[1]) &&
           read_size(from.iv_bits, &p->sizes[2]) && read_randoms(&from.randoms, p);
}

static bool read_prf(const CK_MECHANISM *m, struct wire_params *p)
{
    struct sk_tls_prf_params from;

    if (!sk_read_struct(&from, sizeof(from), m) || !from.out || !from.out_len)
        return false;
    p->hash = CKM_TLS_PRF;
    return sk_read_view(&p->iv, from.seed, from.seed_len) && sk_read_view(&p->aad, from.label, from.label_len);
}

bool sk_read_tls_kdf(const CK_MECHANISM *m, struct wire_params *p)
{
    struct kdf_params from;

    if (m->mechanism == CKM_TLS_PRF)
        return read_prf(m, p);
    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->hash = from.hash;
    p->present = from.context != NULL;
    return sk_read_view(&p->aad, from.label, from.label_len) && sk_read_view(&p->context, from.context, from.context_len) &&
           read_randoms(&from.randoms, p);
}

bool sk_read_tls_mac(const CK_MECHANISM *m, struct wire_params *p)
{
    struct mac_params from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->hash = from.hash;
    p->bits = from.length <= UINT32_MAX ? (uint32_t)from.length : 0;
    p->part = from.from <= 2 ? (uint8_t)from.from : 0;
    return true;
}
