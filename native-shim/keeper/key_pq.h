/*
 * What the OpenSSL in this process has beyond 3.0, whose headers this is compiled against: looked for at start, before the filter.
 * ML-KEM, ML-DSA and SLH-DSA (3.5), and EdDSA's instances with context and prehash (3.2). Nothing here changes after that.
 */
#ifndef SIDEKEY_KEEPER_KEY_PQ_H
#define SIDEKEY_KEEPER_KEY_PQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanism.h"

/* Once, by kp_crypto_open. */
void kp_pq_open(void);

/* False: the row is in the table, and this process cannot do it. */
bool kp_mechanism_works(const struct wire_mechanism *m);

/* The version of OpenSSL that a mechanism needs beyond the one that is always demanded, or NULL. */
const char *kp_mechanism_needs(const struct wire_mechanism *m);

/* Whether EdDSA takes a context and a prehash. */
bool kp_eddsa_has_instances(void);

#endif
