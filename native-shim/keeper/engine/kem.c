/* CKM_ML_KEM (FIPS 203). The randomness of an encapsulation is the kernel's, never a generator's of this process: a restored
 * snapshot must not send one secret twice. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "../key_pq.h"
#include "mechanism.h"

enum { ENTROPY = 32 };

/* The checks that both directions share, and a context for the key. */
static int open_context(uint64_t mechanism, uint32_t needs, const struct kp_key *key, struct wire_bytes params, EVP_PKEY_CTX **out)
{
    const struct wire_mechanism *m = wire_mechanism_find(mechanism);
    struct wire_params p;

    if (!m || m->engine != ENGINE_kem || !(m->flags & needs) || !kp_mechanism_works(m))
        return STATUS_mechanism_invalid;
    if (key->type != m->key_type || (needs == CAN_DECAPSULATE && key->object_class != CKO_PRIVATE_KEY))
        return STATUS_key_type_inconsistent;
    if (!wire_params_read(m->layout, params, &p))
        return STATUS_mechanism_param_invalid;
    *out = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    return *out ? STATUS_ok : STATUS_memory;
}

int kp_encapsulate(uint64_t mechanism, struct kp_key *to, struct wire_bytes params, struct wire_writer *secret,
                   struct wire_writer *ciphertext)
{
    uint8_t entropy[ENTROPY];
    OSSL_PARAM set[] = {OSSL_PARAM_construct_octet_string("ikme", entropy, sizeof(entropy)), OSSL_PARAM_construct_end()};
    size_t secret_length = (size_t)(secret->end - secret->at), length = (size_t)(ciphertext->end - ciphertext->at);
    EVP_PKEY_CTX *ctx = NULL;
    int status = open_context(mechanism, CAN_ENCAPSULATE, to, params, &ctx);

    if (status != STATUS_ok)
        return status;
    kp_crypto_try();
    kp_random(entropy, sizeof(entropy));
    if (EVP_PKEY_encapsulate_init(ctx, set) == 1 &&
        EVP_PKEY_encapsulate(ctx, ciphertext->at, &length, secret->at, &secret_length) == 1) {
        ciphertext->at += length;
        secret->at += secret_length;
    } else {
        status = STATUS_internal;
    }
    OPENSSL_cleanse(entropy, sizeof(entropy));
    EVP_PKEY_CTX_free(ctx);
    return status == STATUS_ok ? status : kp_crypto_failed(status);
}

/* A ciphertext of the right length always gives a secret, if not the sender's (FIPS 203, 6.3): there is no error to tell. */
int kp_decapsulate(uint64_t mechanism, struct kp_key *by, struct wire_bytes params, struct wire_bytes ciphertext,
                   struct wire_writer *secret)
{
    size_t length = (size_t)(secret->end - secret->at);
    EVP_PKEY_CTX *ctx = NULL;
    int status = open_context(mechanism, CAN_DECAPSULATE, by, params, &ctx);

    if (status != STATUS_ok)
        return status;
    kp_crypto_try();
    if (EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
        EVP_PKEY_decapsulate(ctx, secret->at, &length, ciphertext.data, ciphertext.length) == 1)
        secret->at += length;
    else
        status = STATUS_wrapped_key_len_range;
    EVP_PKEY_CTX_free(ctx);
    return status == STATUS_ok ? status : kp_crypto_failed(status);
}
