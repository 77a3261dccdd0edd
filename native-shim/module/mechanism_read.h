/*
 * Readers of mechanism parameters beyond those in mechanism.c. Each copies the caller's structure once and makes views into
 * what it points to; false: CKR_MECHANISM_PARAM_INVALID.
 */
#ifndef SIDEKEY_MODULE_MECHANISM_READ_H
#define SIDEKEY_MODULE_MECHANISM_READ_H

#include "cryptoki3.h"

#include "../wire/params.h"

/* A pointer and length of the caller's; false when they contradict each other or are out of bounds. */
bool sk_read_view(struct wire_bytes *out, const void *data, CK_ULONG length);

/* The parameter as a structure of exactly this size. */
bool sk_read_struct(void *to, size_t size, const CK_MECHANISM *m);

bool sk_read_ccm(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_chacha20(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_chacha20_poly1305(const CK_MECHANISM *m, struct wire_params *p);

/* `own` is the place of the initial value, which `p` then points to. */
bool sk_read_iv_data(const CK_MECHANISM *m, CK_AES_CBC_ENCRYPT_DATA_PARAMS *own, struct wire_params *p);
bool sk_read_iv8_data(const CK_MECHANISM *m, CK_DES_CBC_ENCRYPT_DATA_PARAMS *own, struct wire_params *p);
bool sk_read_oaep(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_rsa_aes(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_ecdh_aes(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_hkdf(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_ike(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_sign_context(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_hash_sign_context(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_data(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_key(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_pbkdf2(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_tls_master(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_tls_keys(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_tls_kdf(const CK_MECHANISM *m, struct wire_params *p);
bool sk_read_tls_mac(const CK_MECHANISM *m, struct wire_params *p);

/* `fields` is the place of the packed fields, which `p` then points to. */
enum { SK_FIELDS_BYTES = 2048 };
bool sk_read_kbkdf(const CK_MECHANISM *m, uint8_t fields[SK_FIELDS_BYTES], struct wire_params *p);

#endif
