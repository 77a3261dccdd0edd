#include "message_parameter.h"

#include "crypt.h"
#include "random.h"

#include <string.h>

enum { RANDOM_BITS_MIN = 96, IV_MAX = 128 };

/* CK_GCM_MESSAGE_PARAMS */
struct gcm_message {
    CK_BYTE *iv;
    CK_ULONG iv_len;
    CK_ULONG iv_fixed_bits;
    CK_ULONG iv_generator;
    CK_BYTE *tag;
    CK_ULONG tag_bits;
};

/* CK_CCM_MESSAGE_PARAMS */
struct ccm_message {
    CK_ULONG data_len;
    CK_BYTE *nonce;
    CK_ULONG nonce_len;
    CK_ULONG nonce_fixed_bits;
    CK_ULONG nonce_generator;
    CK_BYTE *mac;
    CK_ULONG mac_len;
};

/* CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS: its nonce is always the caller's, its tag always whole */
struct poly1305_message {
    CK_BYTE *nonce;
    CK_ULONG nonce_len;
    CK_BYTE *tag;
};

static void read_gcm(const void *from, struct sk_message_parameter *p)
{
    struct gcm_message m;

    memcpy(&m, from, sizeof(m));
    *p = (struct sk_message_parameter){m.iv, m.iv_len, m.iv_fixed_bits, m.iv_generator, m.tag, m.tag_bits, 0};
}

static void read_ccm(const void *from, struct sk_message_parameter *p)
{
    struct ccm_message m;

    memcpy(&m, from, sizeof(m));
    *p = (struct sk_message_parameter){m.nonce, m.nonce_len, m.nonce_fixed_bits, m.nonce_generator,
                                       m.mac,   0,           m.data_len};
    p->tag_bits = m.mac_len <= SK_TAG_MAX ? m.mac_len * 8 : 8 * SK_TAG_MAX + 1;
}

static void read_poly1305(const void *from, struct sk_message_parameter *p)
{
    struct poly1305_message m;

    memcpy(&m, from, sizeof(m));
    *p = (struct sk_message_parameter){m.nonce, m.nonce_len, 0, CKG_NO_GENERATE, m.tag, 8 * SK_TAG_MAX, 0};
}

static size_t gcm(const struct sk_message_parameter *p, struct wire_bytes aad, union sk_ordinary_parameter *to)
{
    to->gcm = (CK_GCM_PARAMS){p->iv, p->iv_len, p->iv_len * 8, (CK_BYTE *)(uintptr_t)aad.data, aad.length, p->tag_bits};
    return sizeof(to->gcm);
}

static size_t ccm(const struct sk_message_parameter *p, struct wire_bytes aad, union sk_ordinary_parameter *to)
{
    to->ccm.data_len = p->data_len;
    to->ccm.nonce = p->iv;
    to->ccm.nonce_len = p->iv_len;
    to->ccm.aad = (CK_BYTE *)(uintptr_t)aad.data;
    to->ccm.aad_len = aad.length;
    to->ccm.mac_len = p->tag_bits / 8;
    return sizeof(to->ccm);
}

static size_t poly1305(const struct sk_message_parameter *p, struct wire_bytes aad, union sk_ordinary_parameter *to)
{
    to->poly1305.nonce = p->iv;
    to->poly1305.nonce_len = p->iv_len;
    to->poly1305.aad = (CK_BYTE *)(uintptr_t)aad.data;
    to->poly1305.aad_len = aad.length;
    return sizeof(to->poly1305);
}

static const struct kind {
    CK_MECHANISM_TYPE type;
    size_t size;
    void (*read)(const void *from, struct sk_message_parameter *p);
    size_t (*write)(const struct sk_message_parameter *p, struct wire_bytes aad, union sk_ordinary_parameter *to);
} kinds[] = {
    {CKM_AES_GCM, sizeof(struct gcm_message), read_gcm, gcm},
    {CKM_AES_CCM, sizeof(struct ccm_message), read_ccm, ccm},
    {CKM_CHACHA20_POLY1305, sizeof(struct poly1305_message), read_poly1305, poly1305},
};

static const struct kind *find(CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

bool sk_message_has(CK_MECHANISM_TYPE type) { return find(type) != NULL; }

CK_RV sk_message_parameter(CK_MECHANISM_TYPE type, const void *parameter, CK_ULONG length, struct sk_message_parameter *out)
{
    const struct kind *kind = find(type);

    if (!kind || !parameter || length != kind->size)
        return CKR_MECHANISM_PARAM_INVALID;
    kind->read(parameter, out);
    return out->iv && out->tag && out->tag_bits <= 8 * SK_TAG_MAX ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

struct sk_message_parameter sk_message_any(CK_BYTE iv[12])
{
    return (struct sk_message_parameter){.iv = iv, .iv_len = 12, .tag_bits = 8 * SK_TAG_MAX};
}

/* Fills what is not fixed, from the left (PKCS#11 3.1, 6.13.3). A counter would be a state that a fork repeats: refused. */
CK_RV sk_message_make_iv(struct sk_entry *e, const struct sk_message_parameter *g)
{
    CK_ULONG fixed = g->fixed_bits / 8;

    if (g->generator == CKG_NO_GENERATE)
        return CKR_OK;
    if (g->generator != CKG_GENERATE && g->generator != CKG_GENERATE_RANDOM)
        return CKR_MECHANISM_PARAM_INVALID;
    if (g->fixed_bits % 8 || g->iv_len > IV_MAX || fixed > g->iv_len || (g->iv_len - fixed) * 8 < RANDOM_BITS_MIN)
        return CKR_MECHANISM_PARAM_INVALID;
    return sk_random(e, g->iv + fixed, g->iv_len - fixed);
}

size_t sk_message_ordinary(CK_MECHANISM_TYPE type, const struct sk_message_parameter *p, struct wire_bytes aad,
                           union sk_ordinary_parameter *to)
{
    return find(type)->write(p, aad, to);
}

CK_RV sk_message_start(struct sk_entry *e, enum wire_operation kind, CK_MECHANISM_TYPE type,
                       const struct sk_message_parameter *p, struct wire_bytes aad, uint64_t key)
{
    union sk_ordinary_parameter parameter;
    CK_MECHANISM m = {type, &parameter, 0};

    if (!find(type))
        return CKR_MECHANISM_INVALID;
    m.ulParameterLen = sk_message_ordinary(type, p, aad, &parameter);
    return sk_crypt_init(e, kind, &m, key);
}
