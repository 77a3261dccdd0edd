/* Keys from keys: a row of mechanisms.def that can derive names its engine, and this table has one function per engine. */
#include "engine.h"
#include "mechanism.h"

static kp_derive_function *find(enum wire_engine engine)
{
    static const struct {
        enum wire_engine engine;
        kp_derive_function *derive;
    } rows[] = {
        {ENGINE_ecdh, kp_ecdh},       {ENGINE_encrypt_data, kp_encrypt_data}, {ENGINE_hkdf, kp_hkdf},
        {ENGINE_combine, kp_combine}, {ENGINE_pbkdf2, kp_pbkdf2},             {ENGINE_digest_key, kp_digest_key},
        {ENGINE_tls_master, kp_tls_master}, {ENGINE_tls_keys, kp_tls_keys}, {ENGINE_tls_kdf, kp_tls_kdf},
        {ENGINE_kbkdf, kp_kbkdf},   {ENGINE_dh, kp_dh}, {ENGINE_blake2b_key, kp_blake2b_key},
        {ENGINE_ike_prf, kp_ike_prf}, {ENGINE_ike_prf_plus, kp_ike_prf_plus},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].engine == engine)
            return rows[i].derive;
    return NULL;
}

int kp_derive(uint64_t mechanism, struct kp_key *base, struct kp_key *other, struct wire_bytes params, size_t length,
              struct wire_writer *out)
{
    struct kp_derivation d = {.mechanism = wire_mechanism_find(mechanism), .base = base, .other = other, .length = length};
    kp_derive_function *derive = d.mechanism ? find(d.mechanism->engine) : NULL;

    if (!derive)
        return STATUS_mechanism_invalid;
    if (!wire_params_read(d.mechanism->layout, params, &d.params))
        return STATUS_mechanism_param_invalid;
    if (length > WIRE_COMPONENT_MAX)
        return STATUS_key_size_range;
    return derive(&d, out);
}
