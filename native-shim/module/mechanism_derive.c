/* Parameters of derivations from data (PKCS#11 3.1, 6.14 and 6.26). */
#include "mechanism_read.h"

bool sk_read_iv_data(const CK_MECHANISM *m, CK_AES_CBC_ENCRYPT_DATA_PARAMS *own, struct wire_params *p)
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
