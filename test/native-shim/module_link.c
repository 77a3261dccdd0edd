/* The link: absence, loss, deadlines, hostile replies, lost descriptors, threads. */
#include "peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 16, BREAKS = 10 };

static CK_FUNCTION_LIST *f;
static CK_SESSION_HANDLE s;
static CK_MECHANISM m_hmac = {CKM_SHA256_HMAC, NULL, 0};
static CK_MECHANISM m_aes = {CKM_AES_KEY_GEN, NULL, 0};

static void absent(void)
{
    CK_SLOT_ID slots[4];
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;
    CK_SESSION_HANDLE none;
    CK_ULONG n = 4;
    long begun = now_ms();

    setenv("SIDEKEY_SOCKET", "/tmp/sidekey-nobody.sock", 1);
    is(f->C_Initialize(NULL), CKR_OK, "without a daemon the module initialises");
    is(f->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED, "once");
    is(f->C_GetSlotList(CK_FALSE, slots, &n), CKR_OK, "there is a slot");
    ok(n == 1 && slots[0] == 0, "number 0");
    n = 4;
    is(f->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK, "without a token");
    is(n, 0, "none");
    is(f->C_GetSlotInfo(0, &slot), CKR_OK, "the slot can be asked");
    ok(!(slot.flags & CKF_TOKEN_PRESENT), "and says so");
    is(f->C_GetTokenInfo(0, &token), CKR_TOKEN_NOT_PRESENT, "no token");
    is(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &none), CKR_TOKEN_NOT_PRESENT, "no session");
    ok(now_ms() - begun < 1000, "all at once");
    peer_start();
    is(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_OK, "the daemon comes, and there is a session");
    n = 4;
    f->C_GetSlotList(CK_TRUE, slots, &n);
    ok(n == 1 && slots[0] == 0, "the token is there without initialising again");
}

static void *restart_later(void *arg)
{
    (void)arg;
    usleep(300000);
    peer_start();
    return NULL;
}

static CK_RV sign_once(CK_SESSION_HANDLE session)
{
    CK_BYTE out[32];
    CK_ULONG n = sizeof(out);
    CK_RV rv = f->C_SignInit(session, &m_hmac, PEER_KEY);

    return rv == CKR_OK ? f->C_Sign(session, (CK_BYTE *)"abc", 3, out, &n) : rv;
}

static void lost(void)
{
    CK_OBJECT_HANDLE key;
    pthread_t later;

    is(sign_once(s), CKR_OK, "a signature");
    peer_misbehave(PEER_HANG_UP, WIRE_operate);
    is(sign_once(s), CKR_OK, "interrupted, it is asked for again");
    is(peer_connections(), 2, "on another connection");
    peer_misbehave(PEER_HANG_UP, WIRE_generate_key);
    is(f->C_GenerateKey(s, &m_aes, NULL, 0, &key), CKR_DEVICE_ERROR, "a key generation is not");
    is(f->C_GenerateKey(s, &m_aes, NULL, 0, &key), CKR_OK, "but can be");
    f->C_SignInit(s, &m_hmac, PEER_KEY);
    f->C_SignUpdate(s, (CK_BYTE *)"a", 1);
    peer_misbehave(PEER_HANG_UP, WIRE_operate);
    is(f->C_SignUpdate(s, (CK_BYTE *)"a", 1), CKR_DEVICE_REMOVED, "an operation in parts is lost");
    is(f->C_SignUpdate(s, (CK_BYTE *)"a", 1), CKR_OPERATION_NOT_INITIALIZED, "once");
    peer_stop();
    pthread_create(&later, NULL, restart_later, NULL);
    is(sign_once(s), CKR_OK, "a restart of the daemon is a pause");
    pthread_join(later, NULL);
    peer_stop();
    peer_start();
    is(f->C_GenerateKey(s, &m_aes, NULL, 0, &key), CKR_OK, "what could not be sent is sent to the next daemon");
}

static void hostile(void)
{
    static const struct {
        enum peer_fault fault;
        CK_RV rv;
        const char *name;
    } rows[] = {
        {PEER_SHORT, CKR_DEVICE_ERROR, "a short body"},       {PEER_LONG, CKR_DEVICE_ERROR, "a long body"},
        {PEER_GARBAGE, CKR_DEVICE_ERROR, "no frame at all"},  {PEER_WRONG_TYPE, CKR_DEVICE_ERROR, "another's reply"},
        {PEER_WRONG_ID, CKR_OK, "a reply that nobody waits for, then the right one"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        peer_misbehave(rows[i].fault, WIRE_operate);
        is(sign_once(s), rows[i].rv, rows[i].name);
        peer_misbehave(PEER_SOUND, 0);
        is(sign_once(s), CKR_OK, "and all is well again");
    }
}

static void other_file(void)
{
    int before = peer_connections() > 0, pair[2];
    CK_SESSION_INFO info;
    char byte;

    f->C_Login(s, CKU_USER, (CK_BYTE *)"1234", 4);

    for (int fd = 3; fd < 64; fd++) {
        struct sockaddr_storage name;
        socklen_t length = sizeof(name);
        int type;
        socklen_t type_length = sizeof(type);

        /* the module's own end: a connected stream socket without a name */
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) < 0 || getsockname(fd, (void *)&name, &length) < 0)
            continue;
        if (length != sizeof(sa_family_t))
            continue;
        if (pipe2(pair, O_NONBLOCK | O_CLOEXEC) < 0)
            break;
        dup2(pair[1], fd);
        ok(before && sign_once(s) == CKR_OK, "a host that closed our descriptor and opened its own");
        f->C_GetSessionInfo(s, &info);
        is(info.state, CKS_RO_PUBLIC_SESSION, "is logged out, since the agent saw us hang up");
        is(f->C_Login(s, CKU_USER, (CK_BYTE *)"1234", 4), CKR_OK, "and may log in again");
        ok(read(pair[0], &byte, 1) < 0, "finds nothing of ours in its file");
        close(pair[0]);
        close(pair[1]);
        ok(fcntl(fd, F_GETFD) >= 0, "which is still open");
        close(fd);
        return;
    }
    ok(false, "the module's socket was not found");
}

static atomic_bool stop;

/* Gives how many failed. */
static void *sign_many(void *arg)
{
    CK_SESSION_HANDLE session = module_session();
    unsigned long bad = 0;

    while (!atomic_load(&stop)) {
        bad += sign_once(session) != CKR_OK;
        atomic_fetch_add((atomic_ulong *)arg, 1);
    }
    f->C_CloseSession(session);
    return (void *)bad;
}

static void threads(void)
{
    pthread_t all[THREADS];
    atomic_ulong signed_in_all = 0;
    unsigned long bad = 0;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&all[i], NULL, sign_many, &signed_in_all);
    for (int i = 0; i < BREAKS; i++) {
        usleep(100000);
        peer_misbehave(PEER_HANG_UP, 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        void *one;

        pthread_join(all[i], &one);
        bad += (unsigned long)one;
    }
    peer_misbehave(PEER_SOUND, 0);
    is(bad, 0, "sixteen threads on one connection that breaks ten times: no signature fails");
    printf("# of %lu\n", atomic_load(&signed_in_all));
}

static void *sign_in_vain(void *arg)
{
    (void)arg;
    return (void *)sign_once(s);
}

static void deadline(void)
{
    long begun = now_ms();
    pthread_t waiting;
    void *rv;

    peer_misbehave(PEER_SILENT, WIRE_operate);
    is(sign_once(s), CKR_FUNCTION_FAILED, "a silent daemon");
    ok(now_ms() - begun >= 9900 && now_ms() - begun < 11000, "is waited for until the deadline");
    pthread_create(&waiting, NULL, sign_in_vain, NULL);
    usleep(200000);
    begun = now_ms();
    is(f->C_Finalize(NULL), CKR_OK, "C_Finalize while a thread waits");
    pthread_join(waiting, &rv);
    ok((CK_RV)rv != CKR_OK && now_ms() - begun < 1000, "wakes it");
    is(f->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED, "once");
    peer_misbehave(PEER_SOUND, 0);
}

int main(void)
{
    f = module_list();
    absent();
    lost();
    hostile();
    other_file();
    threads();
    deadline();
    peer_stop();
    is(peer_complaints(), 0, "the peer had nothing to complain of");
    return done_testing();
}
