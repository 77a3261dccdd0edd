/*
 * Encrypt, decrypt, sign, verify and digest: one engine, of which the functions of the API are thin entries.
 *
 * Lengths (PKCS#11 3.1, 5.2): a NULL buffer asks for an upper bound and ends nothing; a short one gets
 * CKR_BUFFER_TOO_SMALL and ends nothing. Where only the keeper can tell the length, the finished result waits in the
 * session for the next call. Every other error ends the operation. Data that came with a question are not kept: C_XFinal after
 * it ends an operation of no data, which pkcs11-tool --test-ec does.
 */
#ifndef SIDEKEY_MODULE_CRYPT_H
#define SIDEKEY_MODULE_CRYPT_H

#include "guard.h"

/* `m` NULL ends an active operation (PKCS#11 3.0). */
CK_RV sk_crypt_init(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key);

/* With a mechanism that was packed before, which is copied. */
CK_RV sk_crypt_init_packed(struct sk_entry *e, enum wire_operation kind, const struct sk_mechanism *m,
                           CK_OBJECT_HANDLE key);

CK_RV sk_crypt_single(struct sk_entry *e, enum wire_operation kind, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len);

/* `out_len` NULL: an operation whose Update gives nothing (sign, verify, digest). */
CK_RV sk_crypt_update(struct sk_entry *e, enum wire_operation kind, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len);
CK_RV sk_crypt_final(struct sk_entry *e, enum wire_operation kind, CK_BYTE *out, CK_ULONG *out_len);

/* C_Verify; with `last_only`, C_VerifyFinal. */
CK_RV sk_crypt_verify(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, const CK_BYTE *signature,
                      CK_ULONG signature_len, bool last_only);

/* C_VerifySignatureInit, C_VerifySignature and, with `last_only`, C_VerifySignatureFinal: the signature comes first and is kept.
 * Neither kind of verification ends the other's; `given` says which one an Update belongs to. */
CK_RV sk_crypt_verify_init(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, const CK_BYTE *signature,
                           CK_ULONG signature_len);
CK_RV sk_crypt_verify_given(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, bool last_only);
CK_RV sk_crypt_verify_update(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, bool given);

/* The state of the session's digest, into `out` of WIRE_DIGEST_STATE_MAX bytes; the digest goes on. CKR_STATE_UNSAVEABLE: it has none to
 * give, or a key is in it, as sk_crypt_keyed says. */
CK_RV sk_crypt_save(struct sk_entry *e, CK_BYTE *out, CK_ULONG *length);
void sk_crypt_keyed(struct sk_session *s);

/* A digest that goes on from a state, in the place of every operation of the session. CKR_SAVED_STATE_INVALID. */
CK_RV sk_crypt_restore(struct sk_entry *e, struct wire_bytes state);

bool sk_crypt_is_active(struct sk_session *s, enum wire_operation kind);

/* Ends an operation, here and at the keeper; nothing when there is none. CKR_OPERATION_CANCEL_FAILED when another thread
 * is at work on it. */
CK_RV sk_crypt_cancel(struct sk_entry *e, enum wire_operation kind);

/* The session was closed. */
void sk_crypt_drop_all(struct sk_entry *e);

/* The key whose operation waits for C_Login(CKU_CONTEXT_SPECIFIC), 0 when none; and what follows it. */
uint64_t sk_crypt_login_waiting(struct sk_session *s);
void sk_crypt_login_done(struct sk_session *s, uint64_t key);

#endif
