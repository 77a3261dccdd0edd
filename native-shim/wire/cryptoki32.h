/*
 * Numbers of PKCS#11 3.2 (appendix B; pkcs11t.h of the standard): post-quantum keys and their mechanisms, key encapsulation,
 * and what the longer interface speaks of. Each gives way to a newer header's own.
 */
#ifndef SIDEKEY_WIRE_CRYPTOKI32_H
#define SIDEKEY_WIRE_CRYPTOKI32_H

#ifndef CKK_ML_KEM
#define CKK_ML_KEM 0x49UL
#endif
#ifndef CKK_ML_DSA
#define CKK_ML_DSA 0x4aUL
#endif
#ifndef CKK_SLH_DSA
#define CKK_SLH_DSA 0x4bUL
#endif
#ifndef CKA_PARAMETER_SET
#define CKA_PARAMETER_SET 0x61dUL
#endif
#ifndef CKA_ENCAPSULATE
#define CKA_ENCAPSULATE 0x633UL
#endif
#ifndef CKA_DECAPSULATE
#define CKA_DECAPSULATE 0x634UL
#endif
#ifndef CKA_SEED
#define CKA_SEED 0x637UL
#endif

#ifndef CKM_ML_KEM_KEY_PAIR_GEN
#define CKM_ML_KEM_KEY_PAIR_GEN 0xfUL
#endif
#ifndef CKM_ML_KEM
#define CKM_ML_KEM 0x17UL
#endif
#ifndef CKM_ML_DSA_KEY_PAIR_GEN
#define CKM_ML_DSA_KEY_PAIR_GEN 0x1cUL
#endif
#ifndef CKM_ML_DSA
#define CKM_ML_DSA 0x1dUL
#endif
#ifndef CKM_HASH_ML_DSA
#define CKM_HASH_ML_DSA 0x1fUL
#endif
#ifndef CKM_HASH_ML_DSA_SHA224
#define CKM_HASH_ML_DSA_SHA224 0x23UL
#define CKM_HASH_ML_DSA_SHA256 0x24UL
#define CKM_HASH_ML_DSA_SHA384 0x25UL
#define CKM_HASH_ML_DSA_SHA512 0x26UL
#define CKM_HASH_ML_DSA_SHA3_224 0x27UL
#define CKM_HASH_ML_DSA_SHA3_256 0x28UL
#define CKM_HASH_ML_DSA_SHA3_384 0x29UL
#define CKM_HASH_ML_DSA_SHA3_512 0x2aUL
#define CKM_HASH_ML_DSA_SHAKE128 0x2bUL
#define CKM_HASH_ML_DSA_SHAKE256 0x2cUL
#endif
#ifndef CKM_SLH_DSA_KEY_PAIR_GEN
#define CKM_SLH_DSA_KEY_PAIR_GEN 0x2dUL
#endif
#ifndef CKM_SLH_DSA
#define CKM_SLH_DSA 0x2eUL
#endif
#ifndef CKM_HASH_SLH_DSA
#define CKM_HASH_SLH_DSA 0x34UL
#endif
#ifndef CKM_HASH_SLH_DSA_SHA224
#define CKM_HASH_SLH_DSA_SHA224 0x36UL
#define CKM_HASH_SLH_DSA_SHA256 0x37UL
#define CKM_HASH_SLH_DSA_SHA384 0x38UL
#define CKM_HASH_SLH_DSA_SHA512 0x39UL
#define CKM_HASH_SLH_DSA_SHA3_224 0x3aUL
#define CKM_HASH_SLH_DSA_SHA3_256 0x3bUL
#define CKM_HASH_SLH_DSA_SHA3_384 0x3cUL
#define CKM_HASH_SLH_DSA_SHA3_512 0x3dUL
#define CKM_HASH_SLH_DSA_SHAKE128 0x3eUL
#define CKM_HASH_SLH_DSA_SHAKE256 0x3fUL
#endif

#ifndef CKH_HEDGE_PREFERRED
#define CKH_HEDGE_PREFERRED 0x0UL
#endif
#ifndef CKH_HEDGE_REQUIRED
#define CKH_HEDGE_REQUIRED 0x1UL
#endif
#ifndef CKH_DETERMINISTIC_REQUIRED
#define CKH_DETERMINISTIC_REQUIRED 0x2UL
#endif

#ifndef CKF_ASYNC_SESSION
#define CKF_ASYNC_SESSION 0x8UL
#endif
#ifndef CKR_SESSION_ASYNC_NOT_SUPPORTED
#define CKR_SESSION_ASYNC_NOT_SUPPORTED 0x205UL
#endif
#ifndef CKR_PARAMETER_SET_NOT_SUPPORTED
#define CKR_PARAMETER_SET_NOT_SUPPORTED 0x209UL
#endif

#endif
