/*
 * CKM_AES_ECB_ENCRYPT_DATA, CKM_AES_CBC_ENCRYPT_DATA and those of DES and triple DES (PKCS#11 3.1, 6.14): the ciphertext of the
 * caller's data is the new key; what is too much is dropped from its trailing end.
 */
#include <openssl/evp.h>

#include "../arena.h"
#include "../crypto.h"
#include "cipher_length.h"
#include "engine.h"
#include "mechanism.h"

static int encrypt(const struct wire_mechanism *m, const struct kp_key *base, const struct wire_params *p, uint8_t *out)
{
    const EVP_CIPHER *cipher = kp_cipher(m->algorithm, base->secret.length);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t room[KP_CIPHER_KEY_ROOM];
    int n;
    bool ok = ctx && cipher &&
              EVP_EncryptInit_ex2(ctx, cipher, kp_key_for_cipher(base, room), p->iv.data, NULL) == 1 &&
              EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
              EVP_EncryptUpdate(ctx, out, &n, p->aad.data, (int)p->aad.length) == 1;

    EVP_CIPHER_CTX_free(ctx);
    wire_wipe(room, sizeof(room));
    return ok ? STATUS_ok : STATUS_memory;
}

int kp_encrypt_data(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct wire_params *p = &d->params;
    size_t wanted = d->length ? d->length : p->aad.length;
    uint8_t *all;
    int status;

    if (!kp_mechanism_takes(d->mechanism, d->base->type))
        return STATUS_key_type_inconsistent;
    if (p->aad.length == 0 || p->aad.length % wire_block_bytes(d->mechanism))
        return STATUS_mechanism_param_invalid;
    if (wanted > p->aad.length)
        return STATUS_mechanism_param_invalid;
    all = kp_alloc(p->aad.length + WIRE_BLOCK_BYTES);
    if (!all)
        return STATUS_memory;
    status = encrypt(d->mechanism, d->base, p, all);
    if (status == STATUS_ok)
        wire_write_raw(out, all, wanted);
    kp_free(all);
    return status == STATUS_ok && out->full ? STATUS_key_size_range : status;
}
