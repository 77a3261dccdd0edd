/*
 * Threads that wait on one socket: when the one that reads has its reply, another that waits reads on, also while others are still
 * writing to a keeper that takes nothing.
 */
#include "peer_answers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 8, LONG = WIRE_DATA_MAX, PATIENCE_MS = 2000, MOMENT_MS = 300 };

static CK_FUNCTION_LIST *f;
static CK_MECHANISM m_hmac = {CKM_SHA256_HMAC, NULL, 0};
static CK_BYTE iv[12];
static CK_GCM_PARAMS gcm = {.iv_ptr = iv, .iv_len = 12, .iv_bits = 96, .tag_bits = 128};
static CK_MECHANISM m_gcm = {CKM_AES_GCM, &gcm, sizeof(gcm)};
static atomic_bool holding;   /* the keeper keeps what it is asked to itself */
static atomic_uint kept;      /* so many questions */
static atomic_bool release;   /* it answers the first two of them */
static atomic_bool read_on;   /* and takes more */
static char path[108];

struct question {
    struct wire_header header;
    uint8_t body[WIRE_HEADER_BYTES + WIRE_BODY_MAX];
};

static bool take(int fd, struct question *q)
{
    uint8_t head[WIRE_HEADER_BYTES];

    if (recv(fd, head, sizeof(head), MSG_WAITALL) != sizeof(head) || wire_read_header(head, &q->header) != 0)
        return false;
    return !q->header.length || recv(fd, q->body, q->header.length, MSG_WAITALL) == (ssize_t)q->header.length;
}

static void answer(struct peer_client *c, const struct question *q)
{
    static uint8_t frame[WIRE_HEADER_BYTES + WIRE_BODY_MAX];
    struct wire_header h = {.type = q->header.type | WIRE_REPLY, .id = q->header.id, .epoch = 1};
    struct wire_reader r;
    struct wire_writer w;

    wire_reader_init(&r, q->body, q->header.length);
    wire_writer_init(&w, frame + WIRE_HEADER_BYTES, WIRE_BODY_MAX);
    h.status = peer_answer(c, q->header.type, &r, &w);
    h.length = h.status == STATUS_ok ? (uint32_t)wire_written(&w) : 0;
    wire_write_header(frame, &h);
    send(c->fd, frame, WIRE_HEADER_BYTES + h.length, MSG_NOSIGNAL);
}

static void wait_for(atomic_bool *what)
{
    while (!atomic_load(what))
        usleep(1000);
}

/* Two questions are taken and answered only when it is told so, and nothing behind them before it is told that. */
static void hold(struct peer_client *c, struct question two[2])
{
    atomic_store(&kept, 1);
    if (!take(c->fd, &two[1]))
        return;
    atomic_store(&kept, 2);
    wait_for(&release);
    answer(c, &two[0]);
    usleep(1000 * MOMENT_MS);
    answer(c, &two[1]);
    wait_for(&read_on);
}

static void *serve(void *arg)
{
    struct peer_client c = {.fd = accept(*(int *)arg, NULL, NULL)};
    struct question *two = calloc(2, sizeof(*two));

    while (take(c.fd, &two[0]))
        if (two[0].header.type == WIRE_operate && atomic_exchange(&holding, false))
            hold(&c, two);
        else
            answer(&c, &two[0]);
    close(c.fd);
    peer_forget(&c);
    free(two);
    return NULL;
}

static int listen_here(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(path, sizeof(path), "/tmp/sidekey-waiters-%d.sock", (int)getpid());
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0)
        abort();
    setenv("SIDEKEY_SOCKET", path, 1);
    return fd;
}

static CK_RV sign(CK_SESSION_HANDLE session)
{
    CK_BYTE out[32];
    CK_ULONG n = sizeof(out);
    CK_RV rv = f->C_SignInit(session, &m_hmac, PEER_KEY);

    return rv == CKR_OK ? f->C_Sign(session, (CK_BYTE *)"abc", 3, out, &n) : rv;
}

/* Gives how long a signature took, in milliseconds, or a minute when there was none. */
static void *sign_once(void *session)
{
    long begun = now_ms();

    return (void *)(sign((CK_SESSION_HANDLE)session) == CKR_OK ? now_ms() - begun : 60000);
}

static void *encrypt_once(void *session)
{
    CK_BYTE *data = calloc(1, LONG + PEER_TAG);
    CK_ULONG n = LONG + PEER_TAG;
    CK_RV rv = f->C_EncryptInit((CK_SESSION_HANDLE)session, &m_gcm, PEER_KEY);

    if (rv == CKR_OK)
        rv = f->C_Encrypt((CK_SESSION_HANDLE)session, data, LONG, data, &n);
    free(data);
    return (void *)rv;
}

static void wait_until_kept(unsigned how_many)
{
    while (atomic_load(&kept) < how_many)
        usleep(1000);
}

static void reader_goes_while_others_write(void)
{
    CK_SESSION_HANDLE sessions[2 + WRITERS];
    pthread_t waiting[2], writing[WRITERS];
    void *took[2], *rv;
    unsigned long bad = 0;
    long begun;

    for (int i = 0; i < 2 + WRITERS; i++)
        sessions[i] = module_session();
    sign(sessions[0]);
    encrypt_once((void *)sessions[1]);
    atomic_store(&holding, true);
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&waiting[i], NULL, sign_once, (void *)sessions[i]);
        wait_until_kept(i + 1);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&writing[i], NULL, encrypt_once, (void *)sessions[2 + i]);
    usleep(1000 * MOMENT_MS); /* until the socket is full */
    begun = now_ms();
    atomic_store(&release, true);
    pthread_join(waiting[0], &took[0]);
    while (now_ms() - begun < PATIENCE_MS && pthread_tryjoin_np(waiting[1], &took[1]) != 0)
        usleep(1000);
    ok(now_ms() - begun < PATIENCE_MS, "who waits has its reply while others cannot write");
    atomic_store(&read_on, true);
    if (now_ms() - begun >= PATIENCE_MS)
        pthread_join(waiting[1], &took[1]);
    ok((long)took[0] < 60000 && (long)took[1] < 60000, "both have signed");
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writing[i], &rv);
        bad += (CK_RV)rv != CKR_OK;
    }
    is(bad, 0, "and the others are served once the keeper takes more");
}

int main(void)
{
    int listener = listen_here();
    pthread_t server;

    f = module_list();
    pthread_create(&server, NULL, serve, &listener);
    f->C_Initialize(NULL);
    reader_goes_while_others_write();
    f->C_Finalize(NULL);
    pthread_join(server, NULL);
    close(listener);
    unlink(path);
    is(peer_complaints(), 0, "the keeper had nothing to complain of");
    return done_testing();
}
