/*
 * A key as a blob that may lie in a database: AES-256-GCM under another cell's key (ARCHITECTURE.md, "Sealed blob").
 */
#ifndef SIDEKEY_KEEPER_SEAL_H
#define SIDEKEY_KEEPER_SEAL_H

#include "key.h"

/* Writes the blob without a length. The nonce is fresh from the kernel: the caller counts the messages per key. */
int kp_seal(const struct kp_key *by, const struct kp_key *key, struct wire_bytes aad, struct wire_writer *w);

/* Opens a blob: every fault in it is STATUS_seal_broken; but a good one of a key that this OpenSSL does not know is
 * STATUS_parameter_set_not_supported. */
int kp_unseal(const struct kp_key *by, struct wire_bytes aad, struct wire_bytes blob, struct kp_key **out);

#endif
