#include "lifetime.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

static pthread_t main_thread;
static bool opened;
static sigset_t ending;
static const char *_Atomic reason;

void kp_lifetime_open(void)
{
    main_thread = pthread_self();
    opened = true;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);
    signal(SIGPIPE, SIG_IGN);
}

void kp_stop(const char *why)
{
    atomic_store(&reason, why);
    if (opened)
        pthread_kill(main_thread, SIGTERM);
}

static int next_signal(uint64_t every_ms)
{
    struct timespec period = {(time_t)(every_ms / 1000), (long)(every_ms % 1000) * 1000000};

    return every_ms ? sigtimedwait(&ending, NULL, &period) : sigwaitinfo(&ending, NULL);
}

/* SIGHUP means nothing here: the keeper has no configuration to read again. */
const char *kp_wait_for_end(uint64_t every_ms, void (*look)(void))
{
    const char *why;
    int sig = 0;

    while (sig != SIGTERM && sig != SIGINT) {
        sig = next_signal(every_ms);
        if (every_ms && sig != SIGTERM && sig != SIGINT)
            look();
    }
    why = atomic_load(&reason);
    return why ? why : "signal";
}
