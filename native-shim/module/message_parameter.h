/*
 * The parameter of one message, of whichever mechanism (PKCS#11 3.1, 6.13.3 to 6.13.5 and 6.51): what the three structures say, and
 * the mechanism's ordinary parameter made of it.
 */
#ifndef SIDEKEY_MODULE_MESSAGE_PARAMETER_H
#define SIDEKEY_MODULE_MESSAGE_PARAMETER_H

#include "guard.h"

enum { SK_TAG_MAX = 16 };

/* Pointers are the caller's. */
struct sk_message_parameter {
    CK_BYTE *iv;
    CK_ULONG iv_len, fixed_bits, generator; /* CKG_ */
    CK_BYTE *tag;
    CK_ULONG tag_bits, data_len;
};

/* Whether messages of it can be. */
bool sk_message_has(CK_MECHANISM_TYPE type);

/* Reads the caller's structure once. CKR_MECHANISM_PARAM_INVALID. */
CK_RV sk_message_parameter(CK_MECHANISM_TYPE type, const void *parameter, CK_ULONG length, struct sk_message_parameter *out);

/* Any parameter that the mechanism takes, to try a key with. `iv` is its initial value's place. */
struct sk_message_parameter sk_message_any(CK_BYTE iv[12]);

/* What an ordinary operation takes, laid out as PKCS#11 has it: the pointers are those of the message and of its associated data. */
union sk_ordinary_parameter {
    CK_GCM_PARAMS gcm;
    struct {
        CK_ULONG data_len;
        CK_BYTE *nonce;
        CK_ULONG nonce_len;
        CK_BYTE *aad;
        CK_ULONG aad_len;
        CK_ULONG mac_len;
    } ccm;
    struct {
        CK_BYTE *nonce;
        CK_ULONG nonce_len;
        CK_BYTE *aad;
        CK_ULONG aad_len;
    } poly1305;
};

/* Makes what of the initial value is not the caller's. */
CK_RV sk_message_make_iv(struct sk_entry *e, const struct sk_message_parameter *p);

/* Of a type that sk_message_has: the length of what was written. */
size_t sk_message_ordinary(CK_MECHANISM_TYPE type, const struct sk_message_parameter *p, struct wire_bytes aad,
                           union sk_ordinary_parameter *to);

/* Begins the session's operation with it. */
CK_RV sk_message_start(struct sk_entry *e, enum wire_operation kind, CK_MECHANISM_TYPE type,
                       const struct sk_message_parameter *p, struct wire_bytes aad, uint64_t key);

#endif
