/*
 * Measures any PKCS#11 module from outside, the same OpenSSL calls without one, and an empty cache-line round trip between
 * two processes. One JSON object a line on stdout; run.ts makes the table of them.
 *
 *   bench module PATH PIN TOKEN SECONDS THREADS [ROW ...]      rows of the table below; none: all
 *   bench raw SECONDS THREADS [ROW ...]                        OpenSSL in process, contexts cached
 *   bench roundtrip SECONDS                                    a cache line there and back
 *   bench populate PATH PIN TOKEN COUNT                        that many data objects, to find among
 *   bench first PATH PIN TOKEN                                 C_Initialize to the first signature of this process, once
 *   bench idle PATH COUNT                                      COUNT processes that initialised and opened a session; until stdin ends
 *
 * Times are in nanoseconds. `cpu` is CPU seconds of this process per million operations.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, LONG = 64 << 20, THREADS_MAX = 64, SAMPLES_MAX = 1 << 20, WARM_UP = 20 };

static CK_FUNCTION_LIST_PTR p11;
static CK_SLOT_ID slot;
static CK_OBJECT_HANDLE aes, mac, rsa_private, ec_private;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static __thread unsigned char *in, *out;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int must(const char *what, CK_RV rv)
{
    if (rv)
        fprintf(stderr, "%s: 0x%lx\n", what, rv);
    return rv == CKR_OK;
}

/* --- through a module ------------------------------------------------------------------------------------------ */

static CK_RV encrypt(CK_SESSION_HANDLE s, CK_MECHANISM *m, size_t size)
{
    CK_ULONG length = PIECE + 64;
    CK_RV rv = p11->C_EncryptInit(s, m, aes);

    return rv ? rv : p11->C_Encrypt(s, in, size, out, &length);
}

static CK_RV do_gcm(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char iv[12] = {1};
    CK_GCM_PARAMS p = {iv, 12, 96, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &p, sizeof(p)};

    return encrypt(s, &m, size);
}

static CK_RV do_gcm_long(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char iv[12] = {1};
    CK_GCM_PARAMS p = {iv, 12, 96, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &p, sizeof(p)};
    CK_ULONG length;
    CK_RV rv = p11->C_EncryptInit(s, &m, aes);

    for (size_t at = 0; !rv && at < size; at += PIECE) {
        length = PIECE + 64;
        rv = p11->C_EncryptUpdate(s, in, PIECE, out, &length);
    }
    length = PIECE + 64;
    return rv ? rv : p11->C_EncryptFinal(s, out, &length);
}

static CK_RV do_cbc(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char iv[16] = {1};
    CK_MECHANISM m = {CKM_AES_CBC_PAD, iv, 16};

    return encrypt(s, &m, size);
}

static CK_RV sign(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, size_t size)
{
    CK_ULONG length = PIECE;
    CK_RV rv = p11->C_SignInit(s, m, key);

    return rv ? rv : p11->C_Sign(s, in, size, out, &length);
}

static CK_RV do_hmac(CK_SESSION_HANDLE s, size_t size) { return sign(s, &(CK_MECHANISM){CKM_SHA256_HMAC, NULL, 0}, mac, size); }
static CK_RV do_ecdsa(CK_SESSION_HANDLE s, size_t size) { return sign(s, &(CK_MECHANISM){CKM_ECDSA, NULL, 0}, ec_private, size); }
static CK_RV do_rsa(CK_SESSION_HANDLE s, size_t size) { return sign(s, &(CK_MECHANISM){CKM_SHA256_RSA_PKCS, NULL, 0}, rsa_private, size); }

static CK_RV do_pss(CK_SESSION_HANDLE s, size_t size)
{
    CK_RSA_PKCS_PSS_PARAMS p = {CKM_SHA256, CKG_MGF1_SHA256, 32};

    return sign(s, &(CK_MECHANISM){CKM_SHA256_RSA_PKCS_PSS, &p, sizeof(p)}, rsa_private, size);
}

static CK_RV do_digest(CK_SESSION_HANDLE s, size_t size)
{
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_ULONG length = PIECE;
    CK_RV rv = p11->C_DigestInit(s, &m);

    return rv ? rv : p11->C_Digest(s, in, size, out, &length);
}

static CK_RV do_random(CK_SESSION_HANDLE s, size_t size) { return p11->C_GenerateRandom(s, out, size); }

static CK_RV do_session(CK_SESSION_HANDLE s, size_t size)
{
    CK_SESSION_HANDLE h;
    CK_RV rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &h);

    (void)s, (void)size;
    return rv ? rv : p11->C_CloseSession(h);
}

static CK_RV do_find(CK_SESSION_HANDLE s, size_t size)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, "bench-aes", 9}};
    CK_OBJECT_HANDLE found[8];
    CK_ULONG count = 0;
    CK_RV rv = p11->C_FindObjectsInit(s, t, 2);

    (void)size;
    if (rv)
        return rv;
    rv = p11->C_FindObjects(s, found, 8, &count);
    p11->C_FindObjectsFinal(s);
    return rv ? rv : (count ? CKR_OK : CKR_GENERAL_ERROR);
}

static CK_RV do_attributes(CK_SESSION_HANDLE s, size_t size)
{
    CK_ULONG class, type;
    CK_BBOOL token, encrypts;
    char label[64];
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)}, {CKA_TOKEN, &token, 1},
                        {CKA_ENCRYPT, &encrypts, 1}, {CKA_LABEL, label, sizeof(label)}};

    (void)size;
    return p11->C_GetAttributeValue(s, aes, t, 5);
}

/* --- the same by OpenSSL alone --------------------------------------------------------------------------------------- */

static EVP_PKEY *raw_rsa, *raw_ec;

static EVP_CIPHER_CTX *cipher_context(const EVP_CIPHER *cipher)
{
    unsigned char key[32] = {7}, iv[16] = {1};
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

    return c && EVP_EncryptInit_ex(c, cipher, NULL, key, iv) ? c : NULL;
}

static CK_RV raw_gcm(CK_SESSION_HANDLE s, size_t size)
{
    static __thread EVP_CIPHER_CTX *c;
    unsigned char iv[12] = {1}, tag[16];
    int length;

    (void)s;
    if (!c && !(c = cipher_context(EVP_aes_256_gcm())))
        return 1;
    if (!EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv))
        return 1;
    for (size_t at = 0; at < size; at += PIECE)
        if (!EVP_EncryptUpdate(c, out, &length, in, (int)(size - at < PIECE ? size - at : PIECE)))
            return 1;
    return !(EVP_EncryptFinal_ex(c, out, &length) && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag));
}

static CK_RV raw_cbc(CK_SESSION_HANDLE s, size_t size)
{
    static __thread EVP_CIPHER_CTX *c;
    unsigned char iv[16] = {1};
    int length;

    (void)s;
    if (!c && !(c = cipher_context(EVP_aes_256_cbc())))
        return 1;
    return !(EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv) && EVP_EncryptUpdate(c, out, &length, in, (int)size) &&
             EVP_EncryptFinal_ex(c, out + length, &length));
}

static CK_RV raw_hmac(CK_SESSION_HANDLE s, size_t size)
{
    unsigned char key[32] = {7};
    unsigned length = 32;

    (void)s;
    return !HMAC(EVP_sha256(), key, 32, in, size, out, &length);
}

static CK_RV raw_digest(CK_SESSION_HANDLE s, size_t size) { (void)s; return !EVP_Digest(in, size, out, NULL, EVP_sha256(), NULL); }
static CK_RV raw_random(CK_SESSION_HANDLE s, size_t size) { (void)s; return RAND_bytes(out, (int)size) != 1; }

static CK_RV raw_rsa_sign(size_t size, int padding)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *k;
    size_t length = PIECE;
    CK_RV rv = !(EVP_DigestSignInit(c, &k, EVP_sha256(), NULL, raw_rsa) > 0 && EVP_PKEY_CTX_set_rsa_padding(k, padding) > 0 &&
                 EVP_DigestSign(c, out, &length, in, size) > 0);

    EVP_MD_CTX_free(c);
    return rv;
}

static CK_RV raw_rsa_pkcs(CK_SESSION_HANDLE s, size_t size) { (void)s; return raw_rsa_sign(size, RSA_PKCS1_PADDING); }
static CK_RV raw_pss(CK_SESSION_HANDLE s, size_t size) { (void)s; return raw_rsa_sign(size, RSA_PKCS1_PSS_PADDING); }

static CK_RV raw_ecdsa(CK_SESSION_HANDLE s, size_t size)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(raw_ec, NULL);
    size_t length = PIECE;
    CK_RV rv = !(EVP_PKEY_sign_init(c) > 0 && EVP_PKEY_sign(c, out, &length, in, size) > 0);

    (void)s;
    EVP_PKEY_CTX_free(c);
    return rv;
}

/* --- rows ------------------------------------------------------------------------------------------------------------------ */

typedef CK_RV (*operation)(CK_SESSION_HANDLE session, size_t size);

static const struct row {
    const char *name;
    size_t size;
    operation module, raw;
} rows[] = {
    {"gcm-16", 16, do_gcm, raw_gcm},
    {"gcm-1k", 1024, do_gcm, raw_gcm},
    {"gcm-16k", 16384, do_gcm, raw_gcm},
    {"gcm-1m", 1 << 20, do_gcm, raw_gcm},
    {"gcm-64m", LONG, do_gcm_long, raw_gcm},
    {"cbc-pad-1k", 1024, do_cbc, raw_cbc},
    {"hmac-256", 256, do_hmac, raw_hmac},
    {"sha256-1k", 1024, do_digest, raw_digest},
    {"random-32", 32, do_random, raw_random},
    {"ecdsa-p256", 32, do_ecdsa, raw_ecdsa},
    {"rsa2048-pkcs", 32, do_rsa, raw_rsa_pkcs},
    {"rsa2048-pss", 32, do_pss, raw_pss},
    {"session", 0, do_session, NULL},
    {"find-label", 0, do_find, NULL},
    {"attributes-5", 0, do_attributes, NULL},
};

struct run {
    operation op;
    size_t size;
    uint64_t ns; /* how long to measure */
    uint32_t *samples;
    size_t count;
    CK_RV rv;
};

static void *measure(void *argument)
{
    struct run *r = argument;
    CK_SESSION_HANDLE s = 0;
    uint64_t end, start;

    in = calloc(1, PIECE);
    out = calloc(1, PIECE + 64);
    if (p11 && (r->rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s)))
        return NULL;
    for (int i = 0; i < (r->size == LONG ? 1 : WARM_UP) && !r->rv; i++)
        r->rv = r->op(s, r->size);
    end = now_ns() + r->ns;
    while (!r->rv && (start = now_ns()) < end && r->count < SAMPLES_MAX) {
        uint64_t took;

        r->rv = r->op(s, r->size);
        took = now_ns() - start;
        r->samples[r->count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    }
    if (p11)
        p11->C_CloseSession(s);
    free(in);
    free(out);
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void report(const char *name, int threads, const struct run *runs, uint64_t elapsed, double cpu)
{
    size_t total = 0, at = 0;
    uint32_t *all;
    CK_RV rv = CKR_OK;

    for (int i = 0; i < threads; i++) {
        total += runs[i].count;
        rv = rv ? rv : runs[i].rv;
    }
    all = malloc((total + 1) * sizeof(*all));
    for (int i = 0; i < threads; i++) {
        memcpy(all + at, runs[i].samples, runs[i].count * sizeof(*all));
        at += runs[i].count;
    }
    qsort(all, total, sizeof(*all), ascending);
    printf("{\"row\":\"%s\",\"threads\":%d,\"count\":%zu,\"p50\":%u,\"p99\":%u,\"ops\":%.0f,\"cpu\":%.3f,\"rv\":%lu}\n", name,
           threads, total, total ? all[total / 2] : 0, total ? all[total * 99 / 100] : 0,
           (double)total * 1e9 / (double)elapsed, total ? cpu * 1e6 / (double)total : 0, rv);
    fflush(stdout);
    free(all);
}

static void run_row(const struct row *row, operation op, double seconds, int threads)
{
    pthread_t ids[THREADS_MAX];
    struct run runs[THREADS_MAX];
    uint64_t start = now_ns();
    double cpu = cpu_seconds();

    for (int i = 0; i < threads; i++) {
        runs[i] = (struct run){op, row->size, (uint64_t)(seconds * 1e9), malloc(SAMPLES_MAX * sizeof(uint32_t)), 0, CKR_OK};
        pthread_create(&ids[i], NULL, measure, &runs[i]);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    report(row->name, threads, runs, now_ns() - start, cpu_seconds() - cpu);
    for (int i = 0; i < threads; i++)
        free(runs[i].samples);
}

static int wanted(const char *name, char **names)
{
    if (!*names)
        return 1;
    for (; *names; names++)
        if (!strcmp(*names, name))
            return 1;
    return 0;
}

static void run_rows(double seconds, int threads, char **names)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        operation op = p11 ? rows[i].module : rows[i].raw;

        if (op && wanted(rows[i].name, names))
            run_row(&rows[i], op, seconds, threads);
    }
}

/* --- set-up ------------------------------------------------------------------------------------------------------------------- */

static int find_token(const char *label)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;

    if (!must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &count)))
        return 0;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;

        slot = slots[i];
        if (!p11->C_GetTokenInfo(slot, &info) && !strncmp((char *)info.label, label, strlen(label)))
            return 1;
    }
    return fprintf(stderr, "no token %s\n", label), 0;
}

static int load(const char *path)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
    void *library = dlopen(path, RTLD_NOW);

    if (!library || !(get = (CK_RV(*)(CK_FUNCTION_LIST_PTR_PTR))dlsym(library, "C_GetFunctionList")))
        return fprintf(stderr, "%s\n", dlerror()), 0;
    return must("C_GetFunctionList", get(&p11));
}

static int log_in(const char *pin, const char *label, CK_SESSION_HANDLE *s)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

    return must("C_Initialize", p11->C_Initialize(&args)) && find_token(label) &&
           must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, s)) &&
           must("C_Login", p11->C_Login(*s, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
}

static int make_keys(CK_SESSION_HANDLE s)
{
    CK_ULONG bytes = 32, bits = 2048;
    CK_BYTE exponent[] = {1, 0, 1}, p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_OBJECT_HANDLE public;
    CK_ATTRIBUTE a[] = {{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_ENCRYPT, &yes, 1},
                        {CKA_DECRYPT, &yes, 1}, {CKA_VALUE_LEN, &bytes, sizeof(bytes)}, {CKA_LABEL, "bench-aes", 9}};
    CK_ATTRIBUTE h[] = {{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_VERIFY, &yes, 1},
                        {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    CK_ATTRIBUTE r[] = {{CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof(bits)},
                        {CKA_PUBLIC_EXPONENT, exponent, 3}};
    CK_ATTRIBUTE e[] = {{CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof(p256)}};
    CK_ATTRIBUTE p[] = {{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}};

    return must("AES", p11->C_GenerateKey(s, &(CK_MECHANISM){CKM_AES_KEY_GEN, NULL, 0}, a, 7, &aes)) &&
           must("HMAC", p11->C_GenerateKey(s, &(CK_MECHANISM){CKM_GENERIC_SECRET_KEY_GEN, NULL, 0}, h, 5, &mac)) &&
           must("RSA", p11->C_GenerateKeyPair(s, &(CK_MECHANISM){CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0}, r, 4, p, 3, &public, &rsa_private)) &&
           must("EC", p11->C_GenerateKeyPair(s, &(CK_MECHANISM){CKM_EC_KEY_PAIR_GEN, NULL, 0}, e, 3, p, 3, &public, &ec_private));
}

static int bench_module(char **argv)
{
    CK_SESSION_HANDLE s;

    if (!load(argv[0]) || !log_in(argv[1], argv[2], &s) || !make_keys(s))
        return 1;
    run_rows(atof(argv[3]), atoi(argv[4]), argv + 5);
    return p11->C_Finalize(NULL) != CKR_OK;
}

static int bench_raw(char **argv)
{
    raw_rsa = EVP_RSA_gen(2048);
    raw_ec = EVP_EC_gen("P-256");
    run_rows(atof(argv[0]), atoi(argv[1]), argv + 2);
    return 0;
}

/* --- the rest ----------------------------------------------------------------------------------------------------------------- */

static int populate(char **argv)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE object;
    char label[32];

    if (!load(argv[0]) || !log_in(argv[1], argv[2], &s))
        return 1;
    for (long i = 0, count = atol(argv[3]); i < count; i++) {
        int length = snprintf(label, sizeof(label), "object %ld", i);
        CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, 1}, {CKA_LABEL, label, (CK_ULONG)length},
                            {CKA_VALUE, label, (CK_ULONG)length}};

        if (!must("C_CreateObject", p11->C_CreateObject(s, t, 4, &object)))
            return 1;
    }
    return p11->C_Finalize(NULL) != CKR_OK;
}

/* The key is the token's own, labelled bench-first; it is made when it is not there. */
static int first_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *key)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_OBJECT_HANDLE public;
    CK_ULONG count = 0;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, "bench-first", 11}};
    CK_ATTRIBUTE e[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof(p256)}};
    CK_ATTRIBUTE p[] = {{CKA_TOKEN, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_LABEL, "bench-first", 11}};

    if (p11->C_FindObjectsInit(s, t, 2) || p11->C_FindObjects(s, key, 1, &count) || p11->C_FindObjectsFinal(s))
        return 0;
    return count || must("EC", p11->C_GenerateKeyPair(s, &(CK_MECHANISM){CKM_EC_KEY_PAIR_GEN, NULL, 0}, e, 2, p, 3, &public, key));
}

static int bench_first(char **argv)
{
    CK_SESSION_HANDLE s;
    uint64_t start;
    unsigned char digest[32] = {1}, signature[64];
    CK_ULONG length = sizeof(signature);

    if (!load(argv[0]))
        return 1;
    start = now_ns();
    if (!log_in(argv[1], argv[2], &s) || !first_key(s, &ec_private) ||
        !must("C_SignInit", p11->C_SignInit(s, &(CK_MECHANISM){CKM_ECDSA, NULL, 0}, ec_private)) ||
        !must("C_Sign", p11->C_Sign(s, digest, sizeof(digest), signature, &length)))
        return 1;
    printf("{\"row\":\"first\",\"threads\":1,\"count\":1,\"p50\":%lu,\"p99\":0,\"ops\":0,\"cpu\":0,\"rv\":0}\n", (unsigned long)(now_ns() - start));
    return p11->C_Finalize(NULL) != CKR_OK;
}

static int bench_idle(char **argv)
{
    CK_SESSION_HANDLE s;
    int count = atoi(argv[1]);
    char byte;

    if (!load(argv[0]))
        return 1;
    for (int i = 0; i < count; i++)
        if (fork() == 0) {
            int good = must("C_Initialize", p11->C_Initialize(NULL)) && find_token("") &&
                       must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s)) &&
                       must("C_GenerateRandom", p11->C_GenerateRandom(s, (CK_BYTE_PTR)&byte, 1));

            printf(good ? "+\n" : "-\n");
            fflush(stdout);
            while (read(0, &byte, 1) > 0)
                ;
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    return 0;
}

static int bench_roundtrip(char **argv)
{
    _Atomic uint32_t *ball = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t end = now_ns() + (uint64_t)(atof(argv[0]) * 1e9), start, count = 0;
    uint32_t *samples = malloc(SAMPLES_MAX * sizeof(*samples));
    struct run run = {.samples = samples};
    pid_t child = fork();

    if (child == 0)
        for (uint32_t seen = 0;;) {
            uint32_t value = atomic_load_explicit(ball, memory_order_acquire);

            if (value == UINT32_MAX)
                _exit(0);
            if (value != seen && value % 2)
                atomic_store_explicit(ball, seen = value + 1, memory_order_release);
        }
    /* Sixteen at a time: reading the clock costs a tenth of what is measured. */
    for (uint32_t value = 1; (start = now_ns()) < end && count < SAMPLES_MAX; count++) {
        for (int i = 0; i < 16; i++, value += 2) {
            atomic_store_explicit(ball, value, memory_order_release);
            while (atomic_load_explicit(ball, memory_order_acquire) != value + 1)
                ;
        }
        samples[count] = (uint32_t)((now_ns() - start) / 16);
    }
    atomic_store(ball, UINT32_MAX);
    waitpid(child, NULL, 0);
    run.count = count;
    report("roundtrip", 1, &run, 1000000000, 0);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int least;
        int (*run)(char **argv);
    } commands[] = {{"module", 7, bench_module},       {"raw", 4, bench_raw},     {"roundtrip", 3, bench_roundtrip},
                    {"populate", 6, populate}, {"first", 5, bench_first}, {"idle", 4, bench_idle}};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (argc >= commands[i].least && !strcmp(argv[1], commands[i].name))
            return commands[i].run(argv + 2);
    fprintf(stderr, "usage: see the head of bench.c\n");
    return 2;
}
