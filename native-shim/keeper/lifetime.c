#include "lifetime.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

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

/* SIGHUP means nothing here: the keeper has no configuration to read again. */
const char *kp_wait_for_end(void)
{
    const char *why;
    int sig = SIGHUP;

    while (sig == SIGHUP)
        if (sigwait(&ending, &sig) != 0)
            break;
    why = atomic_load(&reason);
    return why ? why : "signal";
}
