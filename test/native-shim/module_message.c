/* Messages: two threads of a careless host with one session, which one of them closes again and again. */
#include "peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { RUN_MS = 700 };

static CK_FUNCTION_LIST_3_0 *f;
static CK_SESSION_HANDLE s;
static atomic_bool stop;

/* A parameter that is too long to be kept in the session itself. */
static CK_BYTE context[200];
static struct sk_eddsa_params params = {CK_FALSE, sizeof(context), context};
static CK_MECHANISM m_eddsa = {CKM_EDDSA, &params, sizeof(params)};

static bool is_among(CK_RV rv, const CK_RV *expected)
{
    for (; *expected != CKR_VENDOR_DEFINED; expected++)
        if (rv == *expected)
            return true;
    return false;
}

/* Gives how many answers were none that this may get. */
static void *open_and_close(void *arg)
{
    static const CK_RV expected[] = {CKR_OK, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED, CKR_VENDOR_DEFINED};
    unsigned long bad = 0;

    (void)arg;
    while (!atomic_load(&stop)) {
        bad += !is_among(f->C_MessageSignInit(s, &m_eddsa, PEER_KEY), expected);
        bad += !is_among(f->C_MessageSignFinal(s), expected);
    }
    return (void *)bad;
}

static void *sign(void *arg)
{
    static const CK_RV expected[] = {CKR_OK, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED, CKR_VENDOR_DEFINED};
    unsigned long bad = 0;

    (void)arg;
    while (!atomic_load(&stop)) {
        CK_BYTE out[32];
        CK_ULONG length = sizeof(out);

        bad += !is_among(f->C_SignMessage(s, NULL, 0, (CK_BYTE *)"abc", 3, out, &length), expected);
    }
    return (void *)bad;
}

static void closed_under_way(void)
{
    pthread_t threads[2];
    unsigned long bad = 0;
    long begun = now_ms();

    pthread_create(&threads[0], NULL, open_and_close, NULL);
    pthread_create(&threads[1], NULL, sign, NULL);
    while (now_ms() - begun < RUN_MS)
        sched_yield();
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        void *one;

        pthread_join(threads[i], &one);
        bad += (unsigned long)one;
    }
    is(bad, 0, "a key for messages that another thread closes is there or not");
}

static void afterwards(void)
{
    CK_BYTE out[32];
    CK_ULONG length = sizeof(out);

    f->C_MessageSignFinal(s);
    is(f->C_SignMessage(s, NULL, 0, out, 1, out, &length), CKR_OPERATION_NOT_INITIALIZED, "none is left");
    is(f->C_MessageSignInit(s, &m_eddsa, PEER_KEY), CKR_OK, "another may come");
    is(f->C_MessageSignInit(s, &m_eddsa, PEER_KEY), CKR_OPERATION_ACTIVE, "one at a time");
    is(f->C_SignMessageBegin(s, NULL, 0), CKR_OK, "a message in parts");
    is(f->C_SignMessage(s, NULL, 0, out, 1, out, &length), CKR_OPERATION_ACTIVE, "and no other beside it");
    is(f->C_SignMessageNext(s, NULL, 0, out, 1, NULL, NULL), CKR_OK, "a part");
    is(f->C_SignMessageNext(s, NULL, 0, out, 1, out, &length), CKR_OK, "the last one");
    is(f->C_SignMessage(s, NULL, 0, out, 1, out, &length), CKR_OK, "the key is there for the next message");
    is(f->C_MessageSignFinal(s), CKR_OK, "until its end");
}

int main(void)
{
    CK_INTERFACE *interface = NULL;

    peer_start();
    C_GetInterface(NULL, NULL, &interface, 0);
    f = interface->pFunctionList;
    f->base.C_Initialize(NULL);
    s = module_session();
    closed_under_way();
    afterwards();
    f->base.C_Finalize(NULL);
    peer_stop();
    is(peer_complaints(), 0, "the peer had nothing to complain of");
    return done_testing();
}
