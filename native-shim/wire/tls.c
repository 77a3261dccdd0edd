#include "tls.h"

#include <stddef.h>

#include "cryptoki.h"

static const struct row {
    uint64_t mechanism, old_prf;
    bool rsa, extended;
} rows[] = {
    {CKM_SSL3_MASTER_KEY_DERIVE, CKM_SSL3_MASTER_KEY_DERIVE, true, false},
    {CKM_SSL3_MASTER_KEY_DERIVE_DH, CKM_SSL3_MASTER_KEY_DERIVE, false, false},
    {CKM_SSL3_KEY_AND_MAC_DERIVE, CKM_SSL3_MASTER_KEY_DERIVE, false, false},
    {CKM_TLS_MASTER_KEY_DERIVE, CKM_TLS_PRF, true, false},
    {CKM_TLS_MASTER_KEY_DERIVE_DH, CKM_TLS_PRF, false, false},
    {CKM_TLS_KEY_AND_MAC_DERIVE, CKM_TLS_PRF, false, false},
    {CKM_TLS_PRF, CKM_TLS_PRF, false, false},
    {CKM_TLS12_MASTER_KEY_DERIVE, 0, true, false},
    {CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE, 0, true, true},
    {CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH, 0, false, true},
    {CKM_NSS_TLS_EXTENDED_MASTER_KEY_DERIVE, 0, true, true},
    {CKM_NSS_TLS_EXTENDED_MASTER_KEY_DERIVE_DH, 0, false, true},
};

static const struct row *find(uint64_t mechanism)
{
    static const struct row none;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].mechanism == mechanism)
            return &rows[i];
    return &none;
}

uint64_t wire_tls_old_prf(uint64_t mechanism) { return find(mechanism)->old_prf; }
bool wire_tls_is_rsa(uint64_t mechanism) { return find(mechanism)->rsa; }
bool wire_tls_is_extended(uint64_t mechanism) { return find(mechanism)->extended; }
