/* Parameters of derivations (PKCS#11 3.1, 6.14, 6.33, 6.43, 6.62, and those of IKE) and of RSA_AES_KEY_WRAP (6.1.22) and ECDH_AES_KEY_WRAP
 * (6.3.20). */
#include "mechanism.h"
#include "mechanism_read.h"

#include "../wire/limits.h"

#include <string.h>

bool sk_read_iv_data(const CK_MECHANISM *m, CK_AES_CBC_ENCRYPT_DATA_PARAMS *own, struct wire_params *p)
{
    if (!sk_read_struct(own, sizeof(*own), m))
        return false;
    return sk_read_view(&p->iv, own->iv, sizeof(own->iv)) && sk_read_view(&p->aad, own->data_params, own->length);
}

bool sk_read_iv8_data(const CK_MECHANISM *m, CK_DES_CBC_ENCRYPT_DATA_PARAMS *own, struct wire_params *p)
{
    if (!sk_read_struct(own, sizeof(*own), m))
        return false;
    return sk_read_view(&p->iv, own->iv, sizeof(own->iv)) && sk_read_view(&p->aad, own->data_params, own->length);
}

bool sk_read_data(const CK_MECHANISM *m, struct wire_params *p)
{
    CK_KEY_DERIVATION_STRING_DATA from;

    return sk_read_struct(&from, sizeof(from), m) && sk_read_view(&p->aad, from.string_data, from.string_data_len);
}

struct hkdf_params {
    CK_BBOOL extract;
    CK_BBOOL expand;
    CK_MECHANISM_TYPE hash;
    CK_ULONG salt_type;
    CK_BYTE *salt;
    CK_ULONG salt_len;
    CK_OBJECT_HANDLE salt_key;
    CK_BYTE *info;
    CK_ULONG info_len;
};

bool sk_read_hkdf(const CK_MECHANISM *m, struct wire_params *p)
{
    struct hkdf_params from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->bits = (from.extract ? 1u : 0u) | (from.expand ? 2u : 0u);
    p->hash = from.hash;
    if (from.extract && from.salt_type == CKF_HKDF_SALT_KEY)
        p->key = from.salt_key;
    else if (from.extract && from.salt_type != CKF_HKDF_SALT_NULL && from.salt_type != CKF_HKDF_SALT_DATA)
        return false;
    if (from.extract && from.salt_type == CKF_HKDF_SALT_KEY && !p->key)
        return false;
    if (from.extract && from.salt_type == CKF_HKDF_SALT_DATA && !sk_read_view(&p->iv, from.salt, from.salt_len))
        return false;
    return sk_read_view(&p->aad, from.info, from.info_len);
}

struct ike_prf_params {
    CK_MECHANISM_TYPE prf;
    CK_BBOOL data_as_key;
    CK_BBOOL rekey;
    CK_BYTE *ni;
    CK_ULONG ni_len;
    CK_BYTE *nr;
    CK_ULONG nr_len;
    CK_OBJECT_HANDLE new_key;
};

static bool read_ike_prf(const CK_MECHANISM *m, struct wire_params *p)
{
    struct ike_prf_params from;

    if (!sk_read_struct(&from, sizeof(from), m) || (from.rekey && !from.new_key))
        return false;
    p->hash = from.prf;
    p->present = from.data_as_key != CK_FALSE;
    p->key = from.rekey ? from.new_key : 0;
    return sk_read_view(&p->iv, from.ni, from.ni_len) && sk_read_view(&p->aad, from.nr, from.nr_len);
}

struct ike2_prf_plus_params {
    CK_MECHANISM_TYPE prf;
    CK_BBOOL has_seed_key;
    CK_OBJECT_HANDLE seed_key;
    CK_BYTE *seed;
    CK_ULONG seed_len;
};

bool sk_read_ike(const CK_MECHANISM *m, struct wire_params *p)
{
    struct ike2_prf_plus_params from;

    if (m->mechanism == CKM_IKE_PRF_DERIVE)
        return read_ike_prf(m, p);
    if (!sk_read_struct(&from, sizeof(from), m) || (from.has_seed_key && !from.seed_key))
        return false;
    p->hash = from.prf;
    p->key = from.has_seed_key ? from.seed_key : 0;
    return sk_read_view(&p->aad, from.seed, from.seed_len);
}

bool sk_read_key(const CK_MECHANISM *m, struct wire_params *p)
{
    CK_OBJECT_HANDLE from;

    p->key = sk_read_struct(&from, sizeof(from), m) ? from : 0;
    return p->key != 0;
}

/* In CK_PKCS5_PBKD2_PARAMS the last member points to the length of the password, in PARAMS2 it is the length itself. The two
 * cannot be told apart but by its value. */
struct pbkdf2_params {
    CK_ULONG salt_source;
    CK_BYTE *salt;
    CK_ULONG salt_len;
    CK_ULONG iterations;
    CK_ULONG prf;
    void *prf_data;
    CK_ULONG prf_data_len;
    CK_BYTE *password;
    CK_ULONG password_len;
};

enum { LOWEST_ADDRESS = 65536 }; /* Linux maps nothing below it (vm.mmap_min_addr) */

bool sk_read_pbkdf2(const CK_MECHANISM *m, struct wire_params *p)
{
    struct pbkdf2_params from;

    if (!sk_read_struct(&from, sizeof(from), m) || from.salt_source != CKZ_SALT_SPECIFIED || from.prf_data_len)
        return false;
    p->hash = from.prf;
    p->count = from.iterations;
    return sk_read_view(&p->iv, from.salt, from.salt_len);
}

bool sk_mechanism_password(const CK_MECHANISM *from, struct wire_bytes *out)
{
    struct pbkdf2_params params;
    CK_ULONG length;

    if (!sk_read_struct(&params, sizeof(params), from))
        return false;
    length = params.password_len;
    if (length >= LOWEST_ADDRESS && length % sizeof(length) == 0)
        memcpy(&length, (const void *)length, sizeof(length));
    return length && length <= WIRE_COMPONENT_MAX && sk_read_view(out, params.password, length);
}

struct rsa_aes_params {
    CK_ULONG aes_bits;
    CK_RSA_PKCS_OAEP_PARAMS *oaep;
};

bool sk_read_rsa_aes(const CK_MECHANISM *m, struct wire_params *p)
{
    struct rsa_aes_params from;
    CK_MECHANISM oaep;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    oaep = (CK_MECHANISM){CKM_RSA_PKCS_OAEP, from.oaep, from.oaep ? sizeof(*from.oaep) : 0};
    p->bits = from.aes_bits <= 256 ? (uint32_t)from.aes_bits : 0;
    return sk_read_oaep(&oaep, p);
}

struct ecdh_aes_params {
    CK_ULONG aes_bits;
    CK_ULONG kdf;
    CK_ULONG shared_len;
    CK_BYTE *shared;
};

bool sk_read_ecdh_aes(const CK_MECHANISM *m, struct wire_params *p)
{
    struct ecdh_aes_params from;

    if (!sk_read_struct(&from, sizeof(from), m))
        return false;
    p->bits = from.aes_bits <= 256 ? (uint32_t)from.aes_bits : 0;
    p->hash = from.kdf;
    return sk_read_view(&p->aad, from.shared, from.shared_len);
}
