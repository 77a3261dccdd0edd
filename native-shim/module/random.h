/*
 * Randomness: the kernel's. A key is never made of it here.
 */
#ifndef SIDEKEY_MODULE_RANDOM_H
#define SIDEKEY_MODULE_RANDOM_H

#include "guard.h"

/* As the keeper would take it: a round trip to ask it for the same would add nothing but the keeper's having seen it. */
CK_RV sk_random(struct sk_entry *e, CK_BYTE *out, CK_ULONG length);

/* Mixes a seed into the kernel's generator, which counts it for nothing (random(4)): a bad seed does no harm.
 * CKR_RANDOM_SEED_NOT_SUPPORTED where the process has no /dev/urandom. */
CK_RV sk_seed(const CK_BYTE *seed, CK_ULONG length);

#endif
