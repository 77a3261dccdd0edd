/* AES-GMAC (PKCS#11 3.1, 6.13.6): AES-GCM of associated data alone, which is what is signed. */
#include <openssl/evp.h>

#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { OPENSSL_IV_MAX = 128 };

static int gmac_begin(struct kp_op *op, const struct wire_params *p)
{
    const EVP_CIPHER *cipher = kp_cipher("GCM", op->key->secret.length);

    if (p->aad.length || p->iv.length > OPENSSL_IV_MAX)
        return STATUS_mechanism_param_invalid;
    op->tag = p->bits / 8;
    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher || EVP_EncryptInit_ex2(op->cipher, cipher, NULL, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_IVLEN, (int)p->iv.length, NULL) != 1 ||
        EVP_EncryptInit_ex2(op->cipher, NULL, op->key->secret.data, p->iv.data, NULL) != 1)
        return STATUS_memory;
    return STATUS_ok;
}

static int gmac_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    int n;

    (void)out;
    return EVP_EncryptUpdate(op->cipher, NULL, &n, in.data, (int)in.length) == 1 ? STATUS_ok : STATUS_internal;
}

static int gmac_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    uint8_t tag[16];
    int n, status = in.length ? gmac_update(op, in, out) : STATUS_ok;

    if (status == STATUS_ok && (EVP_EncryptFinal_ex(op->cipher, tag, &n) != 1 ||
                                EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_GET_TAG, (int)op->tag, tag) != 1))
        status = STATUS_internal;
    if (status == STATUS_ok)
        status = kp_mac_end(op, tag, op->tag, signature, out);
    wire_wipe(tag, sizeof(tag));
    return status;
}

const struct kp_engine kp_engine_gmac = {gmac_begin, gmac_update, gmac_finish, kp_tag_describe, false};
