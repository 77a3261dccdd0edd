/*
 * What callers get wrong: NULL where something has to be, counts and lengths that nothing has, parameters of the wrong length. Arrays
 * end where memory ends, so that whoever believes a wrong count dies.
 */
#include "mechanism.h"
#include "peer.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PARAMETER_MAX = 160 };

static const CK_ULONG HUGE_COUNT = 1UL << 40, NO_LENGTH = CK_UNAVAILABLE_INFORMATION;

static CK_FUNCTION_LIST *f;
static CK_FUNCTION_LIST_3_2 *f3;
static CK_SESSION_HANDLE s;
static CK_BYTE iv[12], bytes[64];
static CK_GCM_PARAMS gcm = {.iv_ptr = iv, .iv_len = 12, .iv_bits = 96, .tag_bits = 128};
static CK_MECHANISM m_gcm = {CKM_AES_GCM, &gcm, sizeof(gcm)};
static CK_MECHANISM m_hmac = {CKM_SHA256_HMAC, NULL, 0};
static CK_MECHANISM m_sha = {CKM_SHA3_256, NULL, 0};
static CK_MECHANISM m_rsa = {CKM_RSA_PKCS, NULL, 0};
static CK_MECHANISM m_make = {CKM_AES_KEY_GEN, NULL, 0};
static CK_MECHANISM m_pair = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
static CK_OBJECT_HANDLE object;

/* The end of a page behind which there is none. */
static uint8_t *end_of_memory(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(at + page, page, PROT_NONE);
    return at + page;
}

static CK_ATTRIBUTE *last_attribute(void)
{
    CK_ATTRIBUTE *a = (CK_ATTRIBUTE *)(void *)end_of_memory() - 1;

    *a = (CK_ATTRIBUTE){CKA_LABEL, bytes, 1};
    return a;
}

static void library_and_slots(void)
{
    CK_SLOT_ID slot;

    is(C_GetFunctionList(NULL), CKR_ARGUMENTS_BAD, "C_GetFunctionList for nobody");
    is(C_GetInterfaceList(NULL, NULL), CKR_ARGUMENTS_BAD, "C_GetInterfaceList without a count");
    is(C_GetInterface(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD, "C_GetInterface for nobody");
    is(f->C_GetInfo(NULL), CKR_ARGUMENTS_BAD, "C_GetInfo for nobody");
    is(f->C_GetSlotList(CK_FALSE, NULL, NULL), CKR_ARGUMENTS_BAD, "C_GetSlotList without a count");
    is(f->C_GetSlotInfo(0, NULL), CKR_ARGUMENTS_BAD, "C_GetSlotInfo for nobody");
    is(f->C_GetTokenInfo(0, NULL), CKR_ARGUMENTS_BAD, "C_GetTokenInfo for nobody");
    is(f->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent for nobody");
    is(f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &slot), CKR_ARGUMENTS_BAD, "and with something reserved");
    is(f->C_GetMechanismList(0, NULL, NULL), CKR_ARGUMENTS_BAD, "C_GetMechanismList without a count");
    is(f->C_GetMechanismInfo(0, CKM_AES_GCM, NULL), CKR_ARGUMENTS_BAD, "C_GetMechanismInfo for nobody");
    is(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD, "C_OpenSession for nobody");
    is(f->C_GetSessionInfo(s, NULL), CKR_ARGUMENTS_BAD, "C_GetSessionInfo for nobody");
}

static void pins(void)
{
    CK_BYTE label[32] = {0};

    is(f->C_InitToken(9, NULL, 4, label), CKR_ARGUMENTS_BAD, "C_InitToken: four characters at NULL");
    is(f->C_InitToken(9, bytes, 4, NULL), CKR_ARGUMENTS_BAD, "no label");
    is(f->C_InitToken(9, bytes, NO_LENGTH, label), CKR_PIN_LEN_RANGE, "a PIN longer than memory");
    is(f->C_InitPIN(s, NULL, 4), CKR_ARGUMENTS_BAD, "C_InitPIN: four characters at NULL");
    is(f->C_InitPIN(s, bytes, NO_LENGTH), CKR_PIN_LEN_RANGE, "a PIN longer than memory");
    is(f->C_SetPIN(s, NULL, 4, bytes, 4), CKR_ARGUMENTS_BAD, "C_SetPIN: the old one at NULL");
    is(f->C_SetPIN(s, bytes, 4, NULL, 4), CKR_ARGUMENTS_BAD, "the new one");
    is(f->C_SetPIN(s, bytes, NO_LENGTH, bytes, 4), CKR_PIN_INCORRECT, "an old one longer than memory");
    is(f->C_SetPIN(s, bytes, 4, bytes, NO_LENGTH), CKR_PIN_LEN_RANGE, "a new one");
    is(f->C_Login(s, CKU_USER, NULL, 4), CKR_ARGUMENTS_BAD, "C_Login: four characters at NULL");
    is(f->C_Login(s, CKU_USER, bytes, NO_LENGTH), CKR_PIN_INCORRECT, "a PIN longer than memory");
    is(f3->base.C_LoginUser(s, CKU_USER, bytes, 4, NULL, 4), CKR_ARGUMENTS_BAD, "C_LoginUser with a name");
}

static void templates(void)
{
    CK_ATTRIBUTE *last = last_attribute(), nested = {CKA_WRAP_TEMPLATE, last, sizeof(*last) * 129};
    CK_ULONG n = 1;

    is(f->C_CreateObject(s, NULL, 1, &object), CKR_ARGUMENTS_BAD, "C_CreateObject: a template at NULL");
    is(f->C_CreateObject(s, last, HUGE_COUNT, &object), CKR_TEMPLATE_INCONSISTENT, "longer than memory");
    is(f->C_CreateObject(s, &nested, 1, &object), CKR_TEMPLATE_INCONSISTENT, "one inside that is longer than memory");
    is(f->C_CreateObject(s, last, 1, NULL), CKR_ARGUMENTS_BAD, "for nobody");
    is(f->C_CopyObject(s, PEER_KEY, NULL, 1, &object), CKR_ARGUMENTS_BAD, "C_CopyObject: a template at NULL");
    is(f->C_CopyObject(s, PEER_KEY, last, HUGE_COUNT, &object), CKR_TEMPLATE_INCONSISTENT, "longer than memory");
    is(f->C_CopyObject(s, PEER_KEY, last, 1, NULL), CKR_ARGUMENTS_BAD, "for nobody");
    is(f->C_GetObjectSize(s, PEER_KEY, NULL), CKR_ARGUMENTS_BAD, "C_GetObjectSize for nobody");
    is(f->C_GetAttributeValue(s, PEER_KEY, NULL, 1), CKR_ARGUMENTS_BAD, "C_GetAttributeValue: a template at NULL");
    is(f->C_SetAttributeValue(s, PEER_KEY, NULL, 1), CKR_ARGUMENTS_BAD, "C_SetAttributeValue: a template at NULL");
    is(f->C_SetAttributeValue(s, PEER_KEY, last, HUGE_COUNT), CKR_TEMPLATE_INCONSISTENT, "longer than memory");
    is(f->C_FindObjectsInit(s, NULL, 1), CKR_ARGUMENTS_BAD, "C_FindObjectsInit: a template at NULL");
    is(f->C_FindObjectsInit(s, last, HUGE_COUNT), CKR_TEMPLATE_INCONSISTENT, "longer than memory");
    is(f->C_FindObjects(s, NULL, 1, &n), CKR_ARGUMENTS_BAD, "C_FindObjects for nobody");
    is(f->C_FindObjects(s, &object, 1, NULL), CKR_ARGUMENTS_BAD, "without a count");
}

/* SP 800-108 with a second key, and TLS 1.2: both look at templates before they ask for anything. */
static CK_ULONG key_bytes = 16;
static CK_ATTRIBUTE key_template = {CKA_VALUE_LEN, &key_bytes, sizeof(key_bytes)};

static void derivations(void)
{
    CK_ATTRIBUTE *last = last_attribute();
    CK_OBJECT_HANDLE second;
    struct {
        CK_ULONG kind;
        void *value;
        CK_ULONG length;
    } field = {CK_SP800_108_BYTE_ARRAY, bytes, 1};
    struct {
        CK_ATTRIBUTE *attributes;
        CK_ULONG count;
        CK_OBJECT_HANDLE *out;
    } more = {last, HUGE_COUNT, &second};
    struct {
        CK_ULONG prf, count;
        void *fields;
        CK_ULONG keys;
        void *more;
    } kdf = {CKM_SHA256_HMAC, 1, &field, 1, &more};
    CK_MECHANISM m = {CKM_SP800_108_COUNTER_KDF, &kdf, sizeof(kdf)};

    is(f->C_DeriveKey(s, NULL, PEER_KEY, NULL, 0, &object), CKR_ARGUMENTS_BAD, "C_DeriveKey: no mechanism");
    is(f->C_DeriveKey(s, &m, PEER_KEY, &key_template, 1, NULL), CKR_ARGUMENTS_BAD, "for nobody");
    is(f->C_DeriveKey(s, &m, PEER_KEY, last, HUGE_COUNT, &object), CKR_TEMPLATE_INCONSISTENT, "a template longer than memory");
    is(f->C_DeriveKey(s, &m, PEER_KEY, &key_template, 1, &object), CKR_TEMPLATE_INCONSISTENT, "one of a second key");
}

static void tls_derivation(void)
{
    struct {
        CK_OBJECT_HANDLE keys[4];
        CK_BYTE *iv[2];
    } out = {{0}, {NULL, NULL}};
    struct {
        CK_ULONG mac, key, iv;
        CK_BBOOL is_export;
        void *client;
        CK_ULONG client_len;
        void *server;
        CK_ULONG server_len;
        void *out;
        CK_ULONG hash;
    } tls = {256, 128, 0, CK_FALSE, bytes, 32, bytes, 32, &out, CKM_SHA256};
    CK_MECHANISM m = {CKM_TLS12_KEY_AND_MAC_DERIVE, &tls, sizeof(tls)};

    is(f->C_DeriveKey(s, &m, PEER_KEY, last_attribute(), HUGE_COUNT, NULL), CKR_TEMPLATE_INCONSISTENT, "a template of TLS keys");
}

static void keys(void)
{
    CK_ATTRIBUTE *last = last_attribute();
    CK_ULONG n = sizeof(bytes);

    is(f->C_GenerateKey(s, NULL, NULL, 0, &object), CKR_ARGUMENTS_BAD, "C_GenerateKey: no mechanism");
    is(f->C_GenerateKey(s, &m_make, NULL, 1, &object), CKR_ARGUMENTS_BAD, "a template at NULL");
    is(f->C_GenerateKey(s, &m_make, last, HUGE_COUNT, &object), CKR_TEMPLATE_INCONSISTENT, "longer than memory");
    is(f->C_GenerateKey(s, &m_make, last, 1, NULL), CKR_ARGUMENTS_BAD, "for nobody");
    is(f->C_GenerateKeyPair(s, NULL, NULL, 0, NULL, 0, &object, &object), CKR_ARGUMENTS_BAD, "C_GenerateKeyPair: no mechanism");
    is(f->C_GenerateKeyPair(s, &m_pair, NULL, 0, NULL, 0, &object, NULL), CKR_ARGUMENTS_BAD, "one half for nobody");
    is(f->C_GenerateKeyPair(s, &m_pair, NULL, 0, last, HUGE_COUNT, &object, &object), CKR_TEMPLATE_INCONSISTENT,
       "a template longer than memory");
    is(f->C_WrapKey(s, NULL, PEER_KEY, PEER_KEY, bytes, &n), CKR_ARGUMENTS_BAD, "C_WrapKey: no mechanism");
    is(f->C_WrapKey(s, &m_gcm, PEER_KEY, PEER_KEY, bytes, NULL), CKR_ARGUMENTS_BAD, "without a length");
    is(f->C_UnwrapKey(s, &m_gcm, PEER_KEY, NULL, 16, NULL, 0, &object), CKR_ARGUMENTS_BAD, "C_UnwrapKey: a key at NULL");
    is(f->C_UnwrapKey(s, &m_gcm, PEER_KEY, bytes, NO_LENGTH, NULL, 0, &object), CKR_WRAPPED_KEY_LEN_RANGE, "longer than memory");
    is(f->C_UnwrapKey(s, &m_gcm, PEER_KEY, bytes, 32, last, HUGE_COUNT, &object), CKR_TEMPLATE_INCONSISTENT, "its template");
    is(f->C_UnwrapKey(s, &m_gcm, PEER_KEY, bytes, 32, NULL, 0, NULL), CKR_ARGUMENTS_BAD, "for nobody");
    is(f->C_SeedRandom(s, NULL, 1), CKR_ARGUMENTS_BAD, "C_SeedRandom: a seed at NULL");
    is(f->C_GenerateRandom(s, NULL, 1), CKR_ARGUMENTS_BAD, "C_GenerateRandom for nobody");
    derivations();
    tls_derivation();
}

static void begin(CK_MECHANISM *m, CK_RV (*init)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE))
{
    is(init(s, m, PEER_KEY), CKR_OK, "an operation");
}

/* CK_UNAVAILABLE_INFORMATION is what a failed call leaves for a length, and what careless callers then pass on. */
static void lengths(void)
{
    CK_ULONG n = NO_LENGTH;

    is(f->C_EncryptInit(s, NULL, PEER_KEY), CKR_ARGUMENTS_BAD, "C_EncryptInit: no mechanism, and nothing to cancel");
    begin(&m_gcm, f->C_EncryptInit);
    is(f->C_Encrypt(s, bytes, NO_LENGTH, bytes, &n), CKR_DATA_LEN_RANGE, "C_Encrypt: data longer than memory");
    begin(&m_gcm, f->C_EncryptInit);
    is(f->C_Encrypt(s, bytes, 1, bytes, NULL), CKR_ARGUMENTS_BAD, "without a length");
    begin(&m_gcm, f->C_EncryptInit);
    is(f->C_EncryptUpdate(s, bytes, NO_LENGTH, bytes, &n), CKR_DATA_LEN_RANGE, "C_EncryptUpdate: data longer than memory");
    begin(&m_gcm, f->C_EncryptInit);
    is(f->C_EncryptFinal(s, bytes, NULL), CKR_ARGUMENTS_BAD, "C_EncryptFinal without a length");
    begin(&m_rsa, f->C_DecryptInit);
    is(f->C_Decrypt(s, bytes, NO_LENGTH, bytes, &n), CKR_ENCRYPTED_DATA_LEN_RANGE, "C_Decrypt: data longer than memory");
    begin(&m_hmac, f->C_SignInit);
    is(f->C_SignUpdate(s, bytes, NO_LENGTH), CKR_DATA_LEN_RANGE, "C_SignUpdate: data longer than memory");
    begin(&m_hmac, f->C_VerifyInit);
    is(f->C_Verify(s, bytes, 1, bytes, NO_LENGTH), CKR_SIGNATURE_LEN_RANGE, "C_Verify: a signature longer than memory");
    is(f->C_DigestInit(s, &m_sha), CKR_OK, "a digest");
    is(f->C_DigestUpdate(s, bytes, NO_LENGTH), CKR_DATA_LEN_RANGE, "C_DigestUpdate: data longer than memory");
    is(f->C_DigestInit(s, &m_sha), CKR_OK, "a digest");
    begin(&m_gcm, f->C_EncryptInit);
    is(f->C_DigestEncryptUpdate(s, bytes, NO_LENGTH, bytes, &n), CKR_ARGUMENTS_BAD, "C_DigestEncryptUpdate: data longer than memory");
    is(f->C_GetOperationState(s, NULL, NULL), CKR_ARGUMENTS_BAD, "C_GetOperationState without a length");
    is(f->C_SetOperationState(s, NULL, 0, 0, 0), CKR_ARGUMENTS_BAD, "C_SetOperationState without a state");
    is(f->C_SetOperationState(s, bytes, NO_LENGTH, 0, 0), CKR_SAVED_STATE_INVALID, "with one longer than memory");
}

static void messages(void)
{
    struct {
        CK_BYTE *iv;
        CK_ULONG iv_len, fixed, generator;
        CK_BYTE *tag;
        CK_ULONG tag_bits;
    } p = {iv, 12, 0, CKG_NO_GENERATE, bytes, 128};
    CK_ULONG n = NO_LENGTH;

    is(f3->base.C_MessageEncryptInit(s, &m_gcm, PEER_KEY), CKR_OK, "a key for messages");
    is(f3->base.C_EncryptMessage(s, NULL, 0, NULL, 0, bytes, 1, bytes, &n), CKR_MECHANISM_PARAM_INVALID, "no parameter");
    is(f3->base.C_EncryptMessage(s, &p, sizeof(p) - 1, NULL, 0, bytes, 1, bytes, &n), CKR_MECHANISM_PARAM_INVALID, "a short one");
    n = NO_LENGTH;
    is(f3->base.C_EncryptMessage(s, &p, sizeof(p), NULL, 0, bytes, NO_LENGTH, bytes, &n), CKR_ARGUMENTS_BAD,
       "a message longer than memory");
    is(f3->base.C_EncryptMessage(s, &p, sizeof(p), bytes, NO_LENGTH, bytes, 1, bytes, &n), CKR_ARGUMENTS_BAD, "its associated data");
    is(f3->base.C_EncryptMessage(s, &p, sizeof(p), NULL, 0, bytes, 1, bytes, NULL), CKR_ARGUMENTS_BAD, "without a length");
    is(f3->base.C_MessageEncryptFinal(s), CKR_OK, "its end");
    is(f3->C_VerifySignatureInit(s, &m_hmac, PEER_KEY, NULL, 32), CKR_ARGUMENTS_BAD, "C_VerifySignatureInit: a signature at NULL");
    is(f3->C_VerifySignatureInit(s, &m_hmac, PEER_KEY, bytes, NO_LENGTH), CKR_SIGNATURE_LEN_RANGE, "longer than memory");
    is(f3->C_EncapsulateKey(s, NULL, PEER_KEY, NULL, 0, bytes, &n, &object), CKR_ARGUMENTS_BAD, "C_EncapsulateKey: no mechanism");
    is(f3->C_WrapKeyAuthenticated(s, NULL, PEER_KEY, PEER_KEY, NULL, 0, bytes, &n), CKR_ARGUMENTS_BAD,
       "C_WrapKeyAuthenticated: no mechanism");
    is(f3->C_GetSessionValidationFlags(s, 1, NULL), CKR_ARGUMENTS_BAD, "C_GetSessionValidationFlags for nobody");
}

/* Every mechanism with a parameter of every length, all zeros up to where memory ends, and at NULL. */
static void parameters(void)
{
    uint8_t *end = end_of_memory();
    unsigned long bad = 0;

    for (size_t i = 0; i < wire_mechanisms_count; i++)
        for (CK_ULONG length = 0; length <= PARAMETER_MAX; length++) {
            CK_MECHANISM there = {wire_mechanisms[i].type, end - length, length}, absent = {wire_mechanisms[i].type, NULL, length};
            struct sk_mechanism packed;
            CK_RV first = sk_mechanism_pack(&there, UINT32_MAX, &packed), second;

            if (first == CKR_OK)
                sk_mechanism_clear(&packed);
            second = sk_mechanism_pack(&absent, UINT32_MAX, &packed);
            if (second == CKR_OK)
                sk_mechanism_clear(&packed);
            bad += first != CKR_OK && first != CKR_MECHANISM_PARAM_INVALID;
            bad += second != CKR_OK && second != CKR_MECHANISM_PARAM_INVALID;
            bad += second == CKR_OK && length && wire_mechanisms[i].layout != LAYOUT_none &&
                   wire_mechanisms[i].layout != LAYOUT_digest_state;
        }
    is(bad, 0, "no mechanism reads beyond its parameter, or one at NULL");
}

int main(void)
{
    CK_INTERFACE *interface = NULL;
    CK_VERSION latest = {3, 2};

    peer_start();
    f = module_list();
    C_GetInterface(NULL, &latest, &interface, 0);
    f3 = interface->pFunctionList;
    f->C_Initialize(NULL);
    s = module_session();
    library_and_slots();
    pins();
    templates();
    keys();
    lengths();
    messages();
    parameters();
    f->C_Finalize(NULL);
    peer_stop();
    is(peer_complaints(), 0, "the peer had nothing to complain of");
    return done_testing();
}
