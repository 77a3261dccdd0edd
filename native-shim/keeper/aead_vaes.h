/*
 * AES-GCM by Intel's ipsec-mb, with instructions (VAES on AVX-512) that OpenSSL 3.0 does not use: a third of its time. For aead.c
 * alone. The library is loaded where it is, not linked, and of one version only: its functions are called by their names, past the
 * table of functions that it builds for programs that want all of it. They allocate nothing and keep nothing beyond what is handed to
 * them, and Debian builds them to clear registers and stack behind them (SAFE_DATA).
 */
#ifndef SIDEKEY_KEEPER_AEAD_VAES_H
#define SIDEKEY_KEEPER_AEAD_VAES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* One key and one message at a time, in the arena. */
struct kp_vaes;

/* Loads the library, before the filter, and asks it for what is known. False: OpenSSL serves. */
bool kp_vaes_open(void);

/* NULL: it is not open, is not for such a key, or the arena is full. */
struct kp_vaes *kp_vaes_new(struct wire_bytes key, bool encrypts);
void kp_vaes_free(struct kp_vaes *v);

/* False: no such initial value (1 to 128 bytes, as OpenSSL has it), or more data than GCM takes. */
bool kp_vaes_begin(struct kp_vaes *v, struct wire_bytes iv, struct wire_bytes aad);
bool kp_vaes_update(struct kp_vaes *v, struct wire_bytes in, uint8_t *out);
bool kp_vaes_seal(struct kp_vaes *v, uint8_t *tag, size_t length);
bool kp_vaes_check(struct kp_vaes *v, const uint8_t *tag, size_t length);

#endif
