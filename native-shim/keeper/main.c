/*
 * sidekey-keeper: start, in the order that safety needs. Locked memory before OpenSSL, OpenSSL before threads, threads
 * before the filter, the filter before the first connection. The main thread handles no key: it waits for the end.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "aead.h"
#include "arena.h"
#include "cell.h"
#include "crypto.h"
#include "lifetime.h"
#include "listen.h"
#include "lockdown.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "options.h"
#include "ring.h"
#include "state.h"
#include "watchdog.h"

/* The human reads the text, the machine the line. */
static int fail(int code, const char *event, const char *text)
{
    char json[700];

    kp_log("fatal", event, "\"message\":%s", kp_json(text, strlen(text), json, sizeof(json)));
    return code;
}

static int open_memory(const struct kp_options *o)
{
    char text[512];
    int error;

    if (kp_arena_open(o->memfd_secret) != 0) {
        error = errno;
        kp_arena_explain(error, text, sizeof(text));
        return fail(EX_OSERR, "memory_not_locked", text);
    }
    if (kp_crypto_open() != 0)
        return fail(EX_SOFTWARE, "crypto_failed", "OpenSSL did not start");
    return EX_OK;
}

static int open_sockets(const struct kp_options *o, int inherited, int fds[2])
{
    char why[256];

    fds[0] = inherited >= 0 ? inherited : kp_listen_open(o->pkcs11, o->mode, why, sizeof(why));
    if (fds[0] < 0)
        return fail(EX_UNAVAILABLE, "socket_failed", why);
    fds[1] = kp_listen_open(o->control, 0600, why, sizeof(why));
    return fds[1] < 0 ? fail(EX_UNAVAILABLE, "socket_failed", why) : EX_OK;
}

/* Two descriptors per client (the second is its ring's bell) and some more. Where the hard limit says fewer, clients go before
 * rings. */
static void fit_descriptors(struct kp_options *o)
{
    struct rlimit limit;
    rlim_t wanted = 2 * (rlim_t)o->max_clients + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return;
    wanted = o->max_clients + 64;
    kp_ring_limit(limit.rlim_cur > wanted ? (unsigned)(limit.rlim_cur - wanted) : 0);
    if (limit.rlim_cur >= wanted)
        return;
    o->max_clients = (unsigned)(limit.rlim_cur > 128 ? limit.rlim_cur - 64 : limit.rlim_cur / 2);
    kp_log("warn", "few_descriptors", "\"maxClients\":%u", o->max_clients);
}

/* How often the watchdog looks: systemd misses one report without ending us. 0: nobody watches, and an idle keeper sleeps. */
static uint64_t look_ms(void)
{
    uint64_t us = kp_notify_watchdog_us();

    return us ? us / 3000 + 1 : 0;
}

static int serve(const struct kp_options *o, const int fds[2])
{
    kp_state_open(o->max_clients, o->linger_ms);
    if (kp_loop_open(o->workers) != 0)
        return fail(EX_OSERR, "threads_failed", strerror(errno));
    if (kp_lockdown_filter() != 0)
        return fail(EX_OSERR, "filter_failed", strerror(errno));
    if (kp_loop_listen(fds[0], fds[1]) != 0)
        return fail(EX_OSERR, "epoll_failed", strerror(errno));
    kp_log("info", "started", "\"pid\":%d,\"version\":\"%s\",\"memory\":\"%s\",\"lockedBytes\":%d,\"workers\":%u,\"openssl\":\"%s\",\"gcm\":\"%s\"",
           (int)getpid(), SIDEKEY_VERSION, kp_arena_kind() == KP_ARENA_SECRET ? "memfd_secret" : "mlock", KP_ARENA_BYTES,
           o->workers, OpenSSL_version(OPENSSL_VERSION_STRING), kp_aead_is_fast() ? "ipsec-mb" : "openssl");
    kp_notify_ready();
    kp_log("info", "ended", "\"why\":\"%s\"", kp_wait_for_end(look_ms(), kp_watchdog_report));
    return EX_OK;
}

/* Every key is wiped; OpenSSL's exit handlers would meet threads that still run, hence _exit. */
static void wipe_cells(void)
{
    kp_lock();
    for (unsigned i = 0; i < KP_CELLS_MAX; i++)
        if (kp.cells[i])
            kp_cell_end(kp.cells[i], KP_ENDED_SILENTLY);
    kp_unlock();
}

int main(int argc, char **argv)
{
    struct kp_options options;
    int fds[2] = {-1, -1}, inherited, code = kp_options_read(argc, argv, &options);

    if (code >= 0)
        return code;
    umask(0077);
    inherited = kp_listen_inherited("pkcs11");
    if (kp_lockdown_early(inherited) != 0)
        return fail(EX_OSERR, "lockdown_failed", strerror(errno));
    kp_lifetime_open();
    fit_descriptors(&options);
    code = open_memory(&options);
    if (code == EX_OK)
        code = open_sockets(&options, inherited, fds);
    if (code == EX_OK) {
        kp_notify_open();
        code = serve(&options, fds);
        wipe_cells();
    }
    _exit(code);
}
