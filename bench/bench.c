/*
 * Measures any PKCS#11 module from outside, the same OpenSSL calls without one, and an empty cache-line round trip between
 * two processes. One JSON object a line on stdout; run.ts makes the tables of them.
 *
 *   bench module PATH PIN TOKEN            rows of the table below, as they are asked for on stdin
 *   bench raw                              the same by OpenSSL in process; row `roundtrip`: a cache line there and back
 *   bench populate PATH PIN TOKEN COUNT    that many data objects, to find among
 *   bench first PATH PIN TOKEN             C_Initialize to the first signature of this process, once
 *   bench cells PATH PIN TOKEN COUNT       COUNT session keys, each used once; until stdin ends
 *   bench idle PATH COUNT                  COUNT processes that initialised and opened a session; until stdin ends
 *
 * A request on stdin is a line `ROW SECONDS THREADS`, and is answered by one line before the next is read, so that whoever
 * asks can have several programs measure in turn. Times are in nanoseconds. `cpu` is CPU seconds of this process per million
 * operations.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

CK_FUNCTION_LIST_PTR p11;
CK_SLOT_ID slot;
CK_OBJECT_HANDLE aes, mac, rsa_private, ec_private;
CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static const struct row rows[] = {
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
    {"find-new", 0, do_find_new, NULL},
    {"attributes-5", 0, do_attributes, NULL},
};

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int must(const char *what, CK_RV rv)
{
    if (rv)
        fprintf(stderr, "%s: 0x%lx\n", what, rv);
    return rv == CKR_OK;
}

static int measure_named(const char *name, double seconds, int threads)
{
    if (!p11 && !strcmp(name, "roundtrip"))
        return measure_roundtrip(seconds), 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        operation op = p11 ? rows[i].module : rows[i].raw;

        if (op && !strcmp(rows[i].name, name))
            return measure_row(&rows[i], op, seconds, threads), 1;
    }
    return fprintf(stderr, "no row %s\n", name), 0;
}

static int serve(void)
{
    char name[32];
    double seconds;
    int threads;

    while (scanf("%31s %lf %d", name, &seconds, &threads) == 3)
        if (threads < 1 || threads > THREADS_MAX || !measure_named(name, seconds, threads))
            return 1;
    return 0;
}

static int serve_module(char **argv)
{
    CK_SESSION_HANDLE s;

    if (!load(argv[0]) || !log_in(argv[1], argv[2], &s) || !make_keys(s))
        return 1;
    return serve() || p11->C_Finalize(NULL) != CKR_OK;
}

static int serve_raw(char **argv)
{
    (void)argv;
    return !raw_make_keys() || serve();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        int (*run)(char **argv);
    } commands[] = {{"module", 3, serve_module}, {"raw", 0, serve_raw}, {"populate", 4, populate},
                    {"first", 3, first},         {"cells", 4, cells},   {"idle", 2, idle}};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (argc == commands[i].arguments + 2 && !strcmp(argv[1], commands[i].name))
            return commands[i].run(argv + 2);
    fprintf(stderr, "usage: see the head of bench.c\n");
    return 2;
}
