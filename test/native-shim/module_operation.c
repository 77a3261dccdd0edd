/* Operations: lengths, errors, order, streaming and the cache of bindings. */
#include "peer.h"

#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST *f;
static CK_SESSION_HANDLE s;
static CK_BYTE iv[12];
static CK_GCM_PARAMS gcm = {.iv_ptr = iv, .iv_len = 12, .iv_bits = 96, .tag_bits = 128};
static CK_MECHANISM m_gcm = {CKM_AES_GCM, &gcm, sizeof(gcm)};
static CK_MECHANISM m_hmac = {CKM_SHA256_HMAC, NULL, 0};
static CK_MECHANISM m_sha = {CKM_SHA256, NULL, 0};
static CK_MECHANISM m_rsa = {CKM_RSA_PKCS, NULL, 0};

static void lengths(void)
{
    CK_BYTE out[64];
    CK_ULONG n = 1;

    is(f->C_EncryptInit(s, &m_gcm, PEER_KEY), CKR_OK, "init");
    is(f->C_EncryptInit(s, &m_gcm, PEER_KEY), CKR_OPERATION_ACTIVE, "a second init is refused");
    is(f->C_Encrypt(s, (CK_BYTE *)"hello", 5, NULL, &n), CKR_OK, "a NULL buffer asks for the length");
    is(n, 21, "which is data and tag");
    n = 20;
    is(f->C_Encrypt(s, (CK_BYTE *)"hello", 5, out, &n), CKR_BUFFER_TOO_SMALL, "a short buffer is told");
    is(n, 21, "how much is needed");
    peer_count(WIRE_operate);
    is(f->C_Encrypt(s, (CK_BYTE *)"hello", 5, out, &n), CKR_OK, "and the operation is still there");
    is(peer_count(WIRE_operate), 1, "it took one message");
    ok(out[0] == ('h' ^ 0x5a), "the data is the peer's");
    is(f->C_Encrypt(s, (CK_BYTE *)"hello", 5, out, &n), CKR_OPERATION_NOT_INITIALIZED, "success ended it");
}

/* PyKCS11 takes 0 for "allocate nothing" and passes NULL again with the data. */
static void no_length_is_nothing(void)
{
    CK_BYTE in[16] = {0};
    CK_ULONG n = 0;

    is(f->C_DecryptInit(s, &m_gcm, PEER_KEY), CKR_OK, "init of a decryption that gives nothing before its end");
    is(f->C_DecryptUpdate(s, in, sizeof(in), NULL, &n), CKR_OK, "asked for the length of an update");
    ok(n > 0, "tells more than nothing");
    is(f->C_DecryptUpdate(s, in, sizeof(in), in, &n), CKR_OK, "the update itself");
    is(n, 0, "gives nothing");
    f->C_DecryptInit(s, NULL, 0);
    f->C_DecryptInit(s, &m_gcm, PEER_KEY);
    n = 0;
    is(f->C_Decrypt(s, in, sizeof(in), NULL, &n), CKR_OK, "asked for the length of a message that is only a tag");
    ok(n > 0, "tells more than nothing too");
    f->C_DecryptInit(s, NULL, 0);
}

static void late_length(void)
{
    CK_BYTE out[256];
    CK_ULONG n = 4;

    f->C_DecryptInit(s, &m_rsa, PEER_KEY);
    is(f->C_Decrypt(s, out, 256, out, &n), CKR_BUFFER_TOO_SMALL, "a length that only the keeper knows");
    is(n, 10, "is told exactly");
    peer_count(WIRE_operate);
    is(f->C_Decrypt(s, out, 256, out, &n), CKR_OK, "the result was kept");
    is(peer_count(WIRE_operate), 0, "without asking again");
    ok(n == 10 && memcmp(out, "tenletters", 10) == 0, "and is delivered");
    is(f->C_Decrypt(s, out, 256, out, &n), CKR_OPERATION_NOT_INITIALIZED, "once");
}

static void order(void)
{
    CK_BYTE out[64];
    CK_ULONG n = sizeof(out);
    CK_MECHANISM stray = {CKM_SHA256, (void *)8, 0x7ffd0000};

    f->C_SignInit(s, &m_hmac, PEER_KEY);
    is(f->C_SignUpdate(s, (CK_BYTE *)"a", 1), CKR_OK, "update");
    is(f->C_Sign(s, (CK_BYTE *)"a", 1, out, &n), CKR_OPERATION_ACTIVE, "single-part after an update is refused");
    is(f->C_SignUpdate(s, (CK_BYTE *)"a", 1), CKR_OPERATION_NOT_INITIALIZED, "and ends the operation");
    f->C_SignInit(s, &m_hmac, PEER_KEY);
    f->C_Sign(s, (CK_BYTE *)"a", 1, NULL, &n);
    is(f->C_SignUpdate(s, (CK_BYTE *)"a", 1), CKR_OPERATION_ACTIVE, "an update after a length query is refused");
    is(f->C_DigestInit(s, &m_sha), CKR_OK, "digest");
    is(f->C_DigestUpdate(s, NULL, 0), CKR_OK, "of nothing");
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    n = sizeof(out);
    is(f->C_EncryptUpdate(s, (CK_BYTE *)"xyz", 3, out, &n), CKR_OK, "while an encryption is at work");
    n = sizeof(out);
    is(f->C_DigestFinal(s, out, &n), CKR_OK, "ends for itself");
    is(n, 32, "with a digest");
    n = sizeof(out);
    is(f->C_EncryptFinal(s, out, &n), CKR_OK, "as the encryption does");
    is(n, PEER_TAG, "with its tag");
    is(f->C_DigestInit(s, &stray), CKR_OK, "a parameter where the mechanism has none, as PowerDNS leaves it");
    is(f->C_DigestInit(s, NULL), CKR_OK, "is not looked at");
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_EncryptInit(s, NULL, 0), CKR_OK, "a NULL mechanism cancels");
    is(f->C_EncryptInit(s, NULL, 0), CKR_ARGUMENTS_BAD, "what is there to cancel");
    is(f->C_GetFunctionStatus(0), CKR_FUNCTION_NOT_PARALLEL, "C_GetFunctionStatus, even of session 0");
}

static void errors(void)
{
    CK_BYTE out[64];
    CK_ULONG n = sizeof(out);
    CK_MECHANISM vendor = {0x80001234UL, NULL, 0}, bad = {CKM_AES_CBC, iv, 12};

    is(f->C_EncryptInit(s, &vendor, PEER_KEY), CKR_MECHANISM_INVALID, "an unknown mechanism");
    is(f->C_EncryptInit(s, &m_sha, PEER_KEY), CKR_MECHANISM_INVALID, "a mechanism that does not encrypt");
    is(f->C_EncryptInit(s, &bad, PEER_KEY), CKR_MECHANISM_PARAM_INVALID, "a short initial value");
    is(f->C_EncryptInit(s, &bad, 8), CKR_KEY_HANDLE_INVALID, "a short initial value and an unknown key");
    is(f->C_EncryptInit(s, &m_gcm, 8), CKR_KEY_HANDLE_INVALID, "an unknown key");
    is(f->C_EncryptInit(s, &m_gcm, 0), CKR_KEY_HANDLE_INVALID, "key 0");
    is(f->C_EncryptInit(99, &m_gcm, PEER_KEY), CKR_SESSION_HANDLE_INVALID, "an unknown session");
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_Encrypt(s, NULL, 5, out, &n), CKR_ARGUMENTS_BAD, "no data where five bytes are said to be");
    is(f->C_Encrypt(s, out, 5, out, &n), CKR_OPERATION_NOT_INITIALIZED, "ends the operation");
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_Encrypt(s, NULL, 5, NULL, &n), CKR_OK, "the length for five bytes that are not shown yet");
    is(n, 5 + PEER_TAG, "is theirs");
    is(f->C_Encrypt(s, (CK_BYTE *)"hello", 5, out, &n), CKR_OK, "and the operation goes on");
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_EncryptUpdate(s, NULL, 5, NULL, &n), CKR_OK, "of a part as well");
    is(f->C_EncryptUpdate(s, NULL, 5, out, &n), CKR_ARGUMENTS_BAD, "but no output of what is not there");
    f->C_SignInit(s, &m_hmac, PEER_KEY);
    is(f->C_Sign(s, NULL, 5, NULL, &n), CKR_OK, "and of a signature");
    is(f->C_SignUpdate(s, NULL, 5), CKR_ARGUMENTS_BAD, "which takes no part of nothing");
    n = sizeof(out);
    peer_misbehave(PEER_STATUS, WIRE_operate);
    peer_status = STATUS_data_len_range;
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_Encrypt(s, out, 5, out, &n), CKR_DATA_LEN_RANGE, "the keeper's status is the caller's code");
    peer_status = 60000;
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_Encrypt(s, out, 5, out, &n), CKR_DEVICE_ERROR, "a status from nowhere");
    peer_misbehave(PEER_SOUND, 0);
    f->C_VerifyInit(s, &m_hmac, PEER_KEY);
    memset(out, 'a', 32);
    is(f->C_Verify(s, (CK_BYTE *)"a", 1, out, 32), CKR_OK, "a good signature");
    f->C_VerifyInit(s, &m_hmac, PEER_KEY);
    is(f->C_Verify(s, (CK_BYTE *)"b", 1, out, 32), CKR_SIGNATURE_INVALID, "a bad one");
    f->C_VerifyInit(s, &m_hmac, PEER_KEY);
    is(f->C_Verify(s, (CK_BYTE *)"a", 1, out, 31), CKR_SIGNATURE_LEN_RANGE, "a short one");
}

static void large(void)
{
    const CK_ULONG size = 200000;
    CK_BYTE *data = malloc(size + PEER_TAG);
    CK_ULONG n = size + PEER_TAG;
    bool good = true;

    memset(data, 'd', size);
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    peer_count(WIRE_operate);
    is(f->C_Encrypt(s, data, size, data, &n), CKR_OK, "200000 bytes in place");
    is(peer_count(WIRE_operate), 4, "go in four pieces");
    is(n, size + PEER_TAG, "and come back whole");
    for (CK_ULONG i = 0; i < size; i++)
        good = good && data[i] == ('d' ^ 0x5a);
    ok(good, "and encrypted");
    f->C_DecryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_Decrypt(s, data, size + PEER_TAG, data, &n), CKR_OK, "decrypted in place, in pieces after the tag");
    is(n, size, "without the tag");
    for (CK_ULONG i = 0; i < size; i++)
        good = good && data[i] == 'd';
    ok(good, "they are the same");
    free(data);
}

static void cache(void)
{
    CK_BYTE out[64];
    CK_ULONG n = sizeof(out);

    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    f->C_Encrypt(s, out, 1, out, &n);
    peer_count(WIRE_bind_check);
    iv[0]++;
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(peer_count(WIRE_bind_check), 0, "a binding is remembered, whatever the IV");
    peer_misbehave(PEER_NEW_EPOCH, WIRE_operate);
    n = sizeof(out);
    f->C_Encrypt(s, out, 1, out, &n);
    peer_misbehave(PEER_SOUND, 0);
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(peer_count(WIRE_bind_check), 1, "until the epoch changes");
    f->C_EncryptInit(s, NULL, 0);
    gcm.tag_bits = 96;
    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(peer_count(WIRE_bind_check), 1, "another tag length is another binding");
    f->C_EncryptInit(s, NULL, 0);
    gcm.tag_bits = 128;
}

static void old_gcm(void)
{
    struct {
        CK_BYTE *iv;
        CK_ULONG iv_len;
        CK_BYTE *aad;
        CK_ULONG aad_len, tag_bits;
    } old = {iv, 12, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &old, sizeof(old)};

    is(f->C_EncryptInit(s, &m, PEER_KEY), CKR_OK, "CK_GCM_PARAMS of 2.20");
    f->C_EncryptInit(s, NULL, 0);
    m.ulParameterLen = 39;
    is(f->C_EncryptInit(s, &m, PEER_KEY), CKR_MECHANISM_PARAM_INVALID, "and of no version");
    gcm.aad_len = 5;
    is(f->C_EncryptInit(s, &m_gcm, PEER_KEY), CKR_MECHANISM_PARAM_INVALID, "associated data at NULL");
    gcm.aad_len = 0;
}

static void own_login(void)
{
    CK_OBJECT_HANDLE found;
    CK_BYTE out[64];
    CK_ULONG n = sizeof(out);

    peer_login_needed = true;
    peer_misbehave(PEER_NEW_EPOCH, WIRE_find);
    f->C_FindObjectsInit(s, NULL, 0);
    f->C_FindObjects(s, &found, 1, &n);
    f->C_FindObjectsFinal(s);
    n = sizeof(out);
    peer_misbehave(PEER_SOUND, 0);
    f->C_SignInit(s, &m_hmac, PEER_KEY);
    is(f->C_Login(s, CKU_CONTEXT_SPECIFIC, (CK_BYTE *)"9999", 4), CKR_PIN_INCORRECT, "a wrong PIN for the key");
    is(f->C_Login(s, CKU_CONTEXT_SPECIFIC, (CK_BYTE *)"1234", 4), CKR_OK, "the right one");
    is(f->C_Sign(s, out, 1, out, &n), CKR_OK, "signs");
    f->C_SignInit(s, &m_hmac, PEER_KEY);
    is(f->C_Sign(s, out, 1, out, &n), CKR_USER_NOT_LOGGED_IN, "once");
    is(f->C_Login(s, CKU_CONTEXT_SPECIFIC, (CK_BYTE *)"1234", 4), CKR_OPERATION_NOT_INITIALIZED, "for what");
    peer_login_needed = false;
}

int main(void)
{
    peer_start();
    f = module_list();
    is(f->C_Initialize(NULL), CKR_OK, "initialise");
    s = module_session();
    ok(s != 0, "a session");
    lengths();
    no_length_is_nothing();
    late_length();
    order();
    errors();
    large();
    cache();
    old_gcm();
    own_login();
    f->C_Finalize(NULL);
    peer_stop();
    is(peer_complaints(), 0, "the peer had nothing to complain of");
    return done_testing();
}
