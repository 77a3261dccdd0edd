/*
 * C_DigestKey: of secret keys that the application may read anyway, by its own digest. The digest of another key would
 * be a thing to test guesses of it with, and the first half of an HMAC by length extension.
 */
#ifndef SIDEKEY_MODULE_DIGEST_KEY_H
#define SIDEKEY_MODULE_DIGEST_KEY_H

#include "guard.h"

/* CKR_KEY_INDIGESTIBLE for every other key. */
CK_RV sk_digest_key(struct sk_entry *e, CK_OBJECT_HANDLE key);

#endif
