/* Sessions, login, objects, attributes, finds, slots. */
#include "peer.h"

#include <pthread.h>
#include <string.h>

static CK_FUNCTION_LIST *f;

static CK_STATE state_of(CK_SESSION_HANDLE s)
{
    CK_SESSION_INFO info = {.state = 99};

    f->C_GetSessionInfo(s, &info);
    return info.state;
}

static void login(void)
{
    CK_SESSION_HANDLE ro, rw = module_session(), none;

    is(f->C_OpenSession(0, 0, NULL, NULL, &none), CKR_SESSION_PARALLEL_NOT_SUPPORTED, "a parallel session");
    is(f->C_OpenSession(9, CKF_SERIAL_SESSION, NULL, NULL, &none), CKR_TOKEN_NOT_PRESENT, "a slot without a token");
    is(f->C_OpenSession(5, CKF_SERIAL_SESSION, NULL, NULL, &none), CKR_SLOT_ID_INVALID, "no slot");
    peer_count(WIRE_slots);
    is(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &ro), CKR_OK, "a read-only session");
    is(peer_count(WIRE_slots), 0, "costs no message");
    is(state_of(ro), CKS_RO_PUBLIC_SESSION, "read-only, public");
    is(state_of(rw), CKS_RW_PUBLIC_SESSION, "read-write, public");
    is(f->C_Login(rw, CKU_SO, (CK_BYTE *)"1234", 4), CKR_SESSION_READ_ONLY_EXISTS, "no SO beside a read-only session");
    is(f->C_Login(rw, 7, (CK_BYTE *)"1234", 4), CKR_USER_TYPE_INVALID, "no such user");
    is(f->C_Login(ro, CKU_USER, (CK_BYTE *)"4321", 4), CKR_PIN_INCORRECT, "a wrong PIN");
    is(f->C_Login(ro, CKU_USER, (CK_BYTE *)"1234", 4), CKR_OK, "the right one");
    is(f->C_Login(rw, CKU_USER, (CK_BYTE *)"1234", 4), CKR_USER_ALREADY_LOGGED_IN, "twice");
    is(f->C_Login(rw, CKU_SO, (CK_BYTE *)"1234", 4), CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "another");
    is(state_of(ro), CKS_RO_USER_FUNCTIONS, "read-only, user");
    is(state_of(rw), CKS_RW_USER_FUNCTIONS, "read-write, user");
    peer_count(WIRE_logout);
    is(f->C_CloseSession(ro), CKR_OK, "close one");
    is(peer_count(WIRE_logout), 0, "the login stays");
    is(f->C_CloseSession(rw), CKR_OK, "close the last");
    is(peer_count(WIRE_logout), 1, "the login goes");
    is(f->C_CloseSession(rw), CKR_SESSION_HANDLE_INVALID, "a handle that was");
    rw = module_session();
    is(state_of(rw), CKS_RW_PUBLIC_SESSION, "nobody is logged in");
    is(f->C_Login(rw, CKU_SO, (CK_BYTE *)"1234", 4), CKR_OK, "the SO");
    is(state_of(rw), CKS_RW_SO_FUNCTIONS, "read-write, SO");
    is(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &none), CKR_SESSION_READ_WRITE_SO_EXISTS, "no read-only one now");
    is(f->C_InitToken(0, (CK_BYTE *)"1234", 4, (CK_BYTE *)"12345678901234567890123456789012"), CKR_SESSION_EXISTS,
       "no C_InitToken either");
    is(f->C_Logout(rw), CKR_OK, "logout");
    is(f->C_Logout(rw), CKR_USER_NOT_LOGGED_IN, "once");
    is(f->C_CloseAllSessions(0), CKR_OK, "close all");
    is(state_of(rw), 99, "none is left");
}

static void objects(void)
{
    CK_SESSION_HANDLE s = module_session();
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ULONG type = CKK_AES;
    CK_BYTE value[16] = {1};
    CK_ATTRIBUTE key[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_VALUE, value, 16}, {CKA_KEY_TYPE, &type, sizeof(type)}};
    CK_ATTRIBUTE null = {CKA_LABEL, NULL, 3}, inner[2] = {{CKA_ID, value, 2}, {CKA_LABEL, value, 3}};
    CK_ATTRIBUTE nested = {CKA_WRAP_TEMPLATE, inner, sizeof(inner)}, odd = {CKA_WRAP_TEMPLATE, inner, 5};
    CK_OBJECT_HANDLE out;

    is(f->C_CreateObject(s, key, 3, &out), CKR_OK, "create: the material goes its own way");
    is(out, 100, "the handle is the agent's");
    is(f->C_CreateObject(s, &null, 1, &out), CKR_ATTRIBUTE_VALUE_INVALID, "three bytes at NULL");
    is(f->C_CreateObject(s, NULL, 1, &out), CKR_ARGUMENTS_BAD, "a template at NULL");
    is(f->C_FindObjectsInit(s, &nested, 1), CKR_OK, "a nested template");
    is(f->C_FindObjectsFinal(s), CKR_OK, "travels");
    is(f->C_FindObjectsInit(s, &odd, 1), CKR_ATTRIBUTE_VALUE_INVALID, "of a broken length it does not");
    peer_count(WIRE_session_closed);
    f->C_CloseSession(s);
    is(peer_count(WIRE_session_closed), 1, "a session with objects says when it closes");
}

static void attributes(void)
{
    CK_SESSION_HANDLE s = module_session();
    char label[16] = "", value[16] = "", id[4] = "", small[2];
    CK_ATTRIBUTE all[] = {{CKA_LABEL, label, sizeof(label)}, {CKA_PRIVATE_EXPONENT, small, 2}, {0x7777, small, 2},
                          {CKA_VALUE, value, sizeof(value)}};
    CK_ATTRIBUTE tight = {CKA_LABEL, small, 2}, ask = {CKA_LABEL, NULL, 0}, many[300];
    CK_ATTRIBUTE inner = {0, id, sizeof(id)}, nested = {CKA_WRAP_TEMPLATE, &inner, sizeof(inner)};

    is(f->C_GetAttributeValue(s, PEER_KEY, all, 4), CKR_ATTRIBUTE_SENSITIVE, "a secret, an unknown and two others");
    ok(all[0].ulValueLen == 5 && memcmp(label, "a key", 5) == 0, "the label is there");
    is(all[1].ulValueLen, CK_UNAVAILABLE_INFORMATION, "the secret is not");
    is(all[2].ulValueLen, CK_UNAVAILABLE_INFORMATION, "nor the unknown");
    ok(all[3].ulValueLen == 6 && memcmp(value, "secret", 6) == 0, "revealed material is");
    is(f->C_GetAttributeValue(s, PEER_KEY, &tight, 1), CKR_BUFFER_TOO_SMALL, "a short buffer");
    is(tight.ulValueLen, CK_UNAVAILABLE_INFORMATION, "is told");
    is(f->C_GetAttributeValue(s, PEER_KEY, &ask, 1), CKR_OK, "a NULL pointer");
    is(ask.ulValueLen, 5, "asks for the length");
    for (size_t i = 0; i < 300; i++)
        many[i] = (CK_ATTRIBUTE){CKA_LABEL, NULL, 0};
    is(f->C_GetAttributeValue(s, PEER_KEY, many, 300), CKR_OK, "300 attributes");
    is(many[299].ulValueLen, 5, "to the last");
    is(f->C_GetAttributeValue(s, PEER_KEY, &nested, 1), CKR_OK, "a nested template");
    ok(inner.type == CKA_ID && inner.ulValueLen == 2 && memcmp(id, "id", 2) == 0, "is unfolded");
    is(f->C_GetAttributeValue(s, 8, &ask, 1), CKR_OBJECT_HANDLE_INVALID, "an unknown object");
    f->C_CloseSession(s);
}

static void finds(void)
{
    CK_SESSION_HANDLE s = module_session();
    CK_OBJECT_HANDLE found[700];
    CK_ULONG n, all = 0;

    is(f->C_FindObjects(s, found, 1, &n), CKR_OPERATION_NOT_INITIALIZED, "find before init");
    is(f->C_FindObjectsInit(s, NULL, 0), CKR_OK, "find all");
    is(f->C_FindObjectsInit(s, NULL, 0), CKR_OPERATION_ACTIVE, "twice");
    while (f->C_FindObjects(s, found, 700, &n) == CKR_OK && n)
        all += n;
    is(all, peer_objects, "every object comes, over many pages");
    is(f->C_FindObjectsFinal(s), CKR_OK, "final");
    is(f->C_FindObjectsFinal(s), CKR_OPERATION_NOT_INITIALIZED, "once");
    f->C_CloseSession(s);
}

static void slots(void)
{
    CK_TOKEN_INFO token;
    CK_SLOT_ID ids[2];
    CK_MECHANISM_INFO info;
    CK_ULONG n = 1;

    is(f->C_GetSlotList(CK_FALSE, ids, &n), CKR_BUFFER_TOO_SMALL, "two slots do not fit in one");
    is(n, 2, "but in two");
    is(f->C_GetTokenInfo(0, &token), CKR_OK, "the token");
    ok(memcmp(token.label, "label                           ", 32) == 0, "its label is padded with blanks");
    is(f->C_GetTokenInfo(9, &token), CKR_TOKEN_NOT_PRESENT, "a slot without");
    is(f->C_GetTokenInfo(3, &token), CKR_SLOT_ID_INVALID, "no slot");
    is(f->C_GetMechanismInfo(0, CKM_AES_GCM, &info), CKR_OK, "a mechanism");
    ok(info.ulMinKeySize == 16 && info.ulMaxKeySize == 32 && info.flags == CKF_ENCRYPT, "is described");
    is(f->C_GetMechanismInfo(0, CKM_DES_CBC, &info), CKR_MECHANISM_INVALID, "another is not");
    is(f->C_WaitForSlotEvent(CKF_DONT_BLOCK, ids, NULL), CKR_NO_EVENT, "no event");
}

static void *open_and_close(void *arg)
{
    unsigned long bad = 0;

    (void)arg;
    for (int i = 0; i < 2000; i++) {
        CK_SESSION_HANDLE s = module_session();

        bad += s == 0 || f->C_CloseSession(s) != CKR_OK;
    }
    return (void *)bad;
}

static void many(void)
{
    CK_SESSION_HANDLE keep = module_session();
    pthread_t t[8];
    unsigned long bad = 0;

    for (int i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, open_and_close, NULL);
    for (int i = 0; i < 8; i++) {
        void *one;

        pthread_join(t[i], &one);
        bad += (unsigned long)one;
    }
    is(bad, 0, "16000 sessions opened and closed by eight threads");
    f->C_CloseSession(keep);
}

int main(void)
{
    f = module_list();
    peer_start();
    f->C_Initialize(NULL);
    login();
    objects();
    attributes();
    finds();
    slots();
    many();
    f->C_Finalize(NULL);
    peer_stop();
    is(peer_complaints(), 0, "the peer had nothing to complain of");
    return done_testing();
}
