/*
 * One operation of a session: the state between C_XInit and its end. Encrypt, decrypt, sign, verify and digest each have
 * one, and all are driven by the same engine in crypt.c.
 */
#ifndef SIDEKEY_MODULE_OPERATION_H
#define SIDEKEY_MODULE_OPERATION_H

#include "binding.h"
#include "sha256.h"

/* The function that will fetch a finished result, which was longer than the caller's buffer. */
enum sk_step { SK_STEP_NONE, SK_STEP_SINGLE, SK_STEP_UPDATE, SK_STEP_FINAL };

struct sk_operation {
    bool parts;         /* an Update came */
    bool asked;         /* a single-part call asked for a length: no Update may follow */
    bool keyed;         /* a digest of, among other things, a key: its state is nobody's */
    bool login_waiting; /* until C_Login(CKU_CONTEXT_SPECIFIC) */
    struct sk_mechanism mechanism;
    struct sk_binding binding;
    uint64_t key;
    uint64_t number;     /* at the keeper; 0: it knows nothing of this operation */
    uint64_t generation; /* of the connection that began it */
    uint64_t in, out;    /* bytes so far */
    bool here;           /* a digest that is made in this process: the keeper never hears of it */
    struct sk_sha256 hash;
    uint8_t *signature;  /* owned: C_VerifySignatureInit's, to be verified at the end */
    size_t signature_length;
    uint8_t *result;     /* owned, wiped */
    size_t result_length;
    enum sk_step result_of;
};

/* Wipes and frees what it owns; ready for another Init. */
void sk_operation_clear(struct sk_operation *op);

#endif
