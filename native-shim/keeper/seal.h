/*
 * A key as a blob that may lie in a database: AES-256-GCM under another cell's key (ARCHITECTURE.md, "Sealed blob").
 */
#ifndef SIDEKEY_KEEPER_SEAL_H
#define SIDEKEY_KEEPER_SEAL_H

#include "key.h"

/* Writes the blob without a length. Each call takes a new random nonce from the kernel, so the caller counts the messages under
 * the key (kp_cell_count_seal). STATUS_ok, or a refusal after which `w` has to be reset. Without kp_lock. */
int kp_seal(const struct kp_key *by, const struct kp_key *key, struct wire_bytes aad, struct wire_writer *w);

/* Opens a blob; the key is the caller's. Any fault in the blob is STATUS_seal_broken. A good blob of a key that this OpenSSL does
 * not know is STATUS_parameter_set_not_supported. Without kp_lock. */
int kp_unseal(const struct kp_key *by, struct wire_bytes aad, struct wire_bytes blob, struct kp_key **out);

#endif
