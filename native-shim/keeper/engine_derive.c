/* Keys from keys: a row of mechanisms.def that can derive names its engine, and this table has one function per engine. */
#include "engine.h"
#include "mechanism.h"

static int ecdh(const struct wire_mechanism *m, struct kp_key *base, const struct wire_params *p, size_t length,
                struct wire_writer *out)
{
    (void)m;
    return kp_ecdh(base, p, length, out);
}

static kp_derive_function *find(enum wire_engine engine)
{
    static const struct {
        enum wire_engine engine;
        kp_derive_function *derive;
    } rows[] = {{ENGINE_ecdh, ecdh},
                {ENGINE_encrypt_data, kp_encrypt_data},
                {ENGINE_hkdf, kp_hkdf},
                {ENGINE_combine, kp_combine}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].engine == engine)
            return rows[i].derive;
    return NULL;
}

int kp_derive(uint64_t mechanism, struct kp_key *base, struct wire_bytes params, size_t length, struct wire_writer *out)
{
    const struct wire_mechanism *m = wire_mechanism_find(mechanism);
    struct wire_params p;

    if (!m || !(m->flags & CAN_DERIVE) || !find(m->engine))
        return STATUS_mechanism_invalid;
    if (!wire_params_read(m->layout, params, &p))
        return STATUS_mechanism_param_invalid;
    if (length > WIRE_COMPONENT_MAX)
        return STATUS_key_size_range;
    return find(m->engine)(m, base, &p, length, out);
}
