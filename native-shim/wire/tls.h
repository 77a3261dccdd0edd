/*
 * Which derivations of TLS are which (PKCS#11 3.2, 6.38; those before TLS 1.2: 2.40, 2.34): the module reads their structures by it, the
 * keeper refuses by it what does not belong together.
 */
#ifndef SIDEKEY_WIRE_TLS_H
#define SIDEKEY_WIRE_TLS_H

#include <stdbool.h>
#include <stdint.h>

/* Before TLS 1.2 each version had one PRF: CKM_TLS_PRF, or CKM_SSL3_MASTER_KEY_DERIVE for that of SSL 3.0. 0: the parameter names the
 * hash. */
uint64_t wire_tls_old_prf(uint64_t mechanism);

/* Whether the base is a pre-master secret that RSA carried: it begins with the version that the client offered. */
bool wire_tls_is_rsa(uint64_t mechanism);

/* Whether an extended master secret is made (RFC 7627), of the session hash instead of the randoms. */
bool wire_tls_is_extended(uint64_t mechanism);

#endif
