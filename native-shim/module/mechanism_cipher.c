/* Parameters of AES-CCM (PKCS#11 3.1, 6.13.4) and of ChaCha20 with and without Poly1305 (6.48, 6.51). */
#include "mechanism_read.h"

struct ccm_params {
    CK_ULONG data_len;
    CK_BYTE *nonce;
    CK_ULONG nonce_len;
    CK_BYTE *aad;
    CK_ULONG aad_len;
    CK_ULONG mac_len;
};

struct chacha20_params {
    CK_BYTE *counter;
    CK_ULONG counter_bits;
    CK_BYTE *nonce;
    CK_ULONG nonce_bits;
};

struct chacha20_poly1305_params {
    CK_BYTE *nonce;
    CK_ULONG nonce_len;
    CK_BYTE *aad;
    CK_ULONG aad_len;
};

bool sk_read_ccm(const CK_MECHANISM *m, struct wire_params *p)
{
    struct ccm_params from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->data_length = from.data_len;
    p->bits = from.mac_len <= 16 ? (uint32_t)from.mac_len * 8 : 0;
    return sk_read_view(&p->iv, from.nonce, from.nonce_len) && sk_read_view(&p->aad, from.aad, from.aad_len);
}

bool sk_read_chacha20(const CK_MECHANISM *m, struct wire_params *p)
{
    struct chacha20_params from;

    if (!sk_read_struct(&from, sizeof(from), m) || from.counter_bits % 8 || from.nonce_bits % 8)
        return false;
    return sk_read_view(&p->point, from.counter, from.counter_bits / 8) &&
           sk_read_view(&p->iv, from.nonce, from.nonce_bits / 8);
}

bool sk_read_chacha20_poly1305(const CK_MECHANISM *m, struct wire_params *p)
{
    struct chacha20_poly1305_params from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->bits = 128;
    return sk_read_view(&p->iv, from.nonce, from.nonce_len) && sk_read_view(&p->aad, from.aad, from.aad_len);
}
