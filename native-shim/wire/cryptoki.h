/*
 * The numbers and structures of PKCS#11: those of 2.40 from Debian's libp11-kit-dev, and the few of 3.0 and 3.1 that
 * its header does not have yet (PKCS#11 3.1, appendices and 5.4.4-5.4.6).
 */
#ifndef SIDEKEY_WIRE_CRYPTOKI_H
#define SIDEKEY_WIRE_CRYPTOKI_H

#include <p11-kit/pkcs11.h>

#include "cryptoki31.h"
#include "cryptoki32.h"

#ifndef CKK_EC_MONTGOMERY
#define CKK_EC_MONTGOMERY 0x41UL
#endif
#ifndef CKM_EC_MONTGOMERY_KEY_PAIR_GEN
#define CKM_EC_MONTGOMERY_KEY_PAIR_GEN 0x1056UL
#endif
#ifndef CKA_UNIQUE_ID
#define CKA_UNIQUE_ID 0x4UL
#endif
#ifndef CKR_OPERATION_CANCEL_FAILED
#define CKR_OPERATION_CANCEL_FAILED 0x202UL
#endif

#define CKK_NONE (~0UL) /* a mechanism that takes no key */
#define CKK_ANY_SECRET 0x7fffffffUL /* one that takes the value of any secret key */

/* CK_EDDSA_PARAMS of 3.0; earlier drafts put the flag in a byte as well */
struct sk_eddsa_params {
    CK_BBOOL phFlag;
    CK_ULONG ulContextDataLen;
    CK_BYTE_PTR pContextData;
};

#endif
