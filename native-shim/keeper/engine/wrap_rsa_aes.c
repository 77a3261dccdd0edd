/*
 * CKM_RSA_AES_KEY_WRAP (PKCS#11 3.1, 6.1.22): a fresh AES key, wrapped by OAEP, then the key in question, wrapped by that AES key
 * with KWP. The AES key lives in the arena for as long as it takes.
 */
#include "../arena.h"
#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

enum { AES_BYTES_MAX = 32, ROOM = 1024 };

/* The parameter without the length of the AES key: that of OAEP. */
static struct wire_bytes oaep_of(const struct wire_params *p, uint8_t *buffer, size_t room)
{
    struct wire_writer w;

    wire_writer_init(&w, buffer, room);
    wire_params_write(LAYOUT_oaep, p, &w);
    return (struct wire_bytes){buffer, w.full ? 0 : wire_written(&w)};
}

static const struct wire_bytes none = {NULL, 0};

int kp_rsa_aes_wrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes plain, struct wire_writer *out)
{
    uint8_t *aes = kp_alloc(AES_BYTES_MAX + WIRE_PARAMS_MAX);
    struct kp_key *key = NULL;
    struct wire_params p;
    int status = STATUS_mechanism_param_invalid;

    if (!aes)
        return STATUS_memory;
    if (!wire_params_read(LAYOUT_rsa_aes, params, &p))
        goto out;
    kp_random(aes, p.bits / 8);
    status = kp_key_secret(CKK_AES, aes, p.bits / 8, &key);
    if (status == STATUS_ok)
        status = kp_op_once(CKM_RSA_PKCS_OAEP, WIRE_ENCRYPT, by, oaep_of(&p, aes + AES_BYTES_MAX, WIRE_PARAMS_MAX),
                            (struct wire_bytes){aes, p.bits / 8}, out);
    if (status == STATUS_ok)
        status = kp_op_once(CKM_AES_KEY_WRAP_KWP, WIRE_ENCRYPT, key, none, plain, out);
out:
    kp_key_drop(key);
    kp_free(aes);
    return status;
}

int kp_rsa_aes_unwrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes wrapped, struct wire_writer *plain)
{
    size_t modulus = (by->bits + 7) / 8;
    uint8_t *aes = kp_alloc(ROOM + WIRE_PARAMS_MAX);
    struct kp_key *key = NULL;
    struct wire_params p;
    struct wire_writer w;
    int status = STATUS_mechanism_param_invalid;

    if (!aes)
        return STATUS_memory;
    if (!wire_params_read(LAYOUT_rsa_aes, params, &p))
        goto out;
    status = STATUS_encrypted_data_len_range;
    if (wrapped.length <= modulus)
        goto out;
    wire_writer_init(&w, aes, ROOM);
    status = kp_op_once(CKM_RSA_PKCS_OAEP, WIRE_DECRYPT, by, oaep_of(&p, aes + ROOM, WIRE_PARAMS_MAX),
                        (struct wire_bytes){wrapped.data, modulus}, &w);
    if (status == STATUS_ok && wire_written(&w) != p.bits / 8)
        status = STATUS_encrypted_data_invalid;
    if (status == STATUS_ok)
        status = kp_key_secret(CKK_AES, aes, p.bits / 8, &key);
    if (status == STATUS_ok)
        status = kp_op_once(CKM_AES_KEY_WRAP_KWP, WIRE_DECRYPT, key, none,
                            (struct wire_bytes){wrapped.data + modulus, wrapped.length - modulus}, plain);
out:
    kp_key_drop(key);
    kp_free(aes);
    return status;
}
