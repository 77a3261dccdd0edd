#include "watchdog.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "notify.h"
#include "state.h"

enum { WORKERS_MAX = 4, LOCK_S = 1 };

static struct {
    struct kp_pulse *pulse;
    uint32_t turns;
    uint64_t since_us; /* when it was seen to turn */
} watched[WORKERS_MAX];
static unsigned count;
static int question_fd = -1;
static atomic_bool asked;

void kp_watchdog_add(struct kp_pulse *pulse)
{
    if (count < WORKERS_MAX)
        watched[count++].pulse = pulse;
}

int kp_watchdog_open(void)
{
    question_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return question_fd < 0 ? -1 : 0;
}

int kp_watchdog_fd(void) { return question_fd; }

void kp_watchdog_answer(void)
{
    uint64_t value;

    if (read(question_fd, &value, sizeof(value)) == sizeof(value))
        atomic_store(&asked, false);
}

static void ask(void)
{
    uint64_t one = 1;

    atomic_store(&asked, true);
    if (write(question_fd, &one, sizeof(one)) < 0)
        return; /* EAGAIN: it is there already */
}

static bool is_lock_free(void)
{
    struct timespec by;

    clock_gettime(CLOCK_MONOTONIC, &by);
    by.tv_sec += LOCK_S;
    if (pthread_mutex_clocklock(&kp.lock, CLOCK_MONOTONIC, &by) != 0)
        return false;
    kp_unlock();
    return true;
}

static bool hangs(unsigned i, uint64_t now_us)
{
    uint32_t turns = atomic_load_explicit(&watched[i].pulse->turns, memory_order_relaxed);

    if (!watched[i].since_us || atomic_load(&watched[i].pulse->asleep) || turns != watched[i].turns) {
        watched[i].turns = turns;
        watched[i].since_us = now_us;
    }
    return now_us - watched[i].since_us >= KP_WORK_MAX_MS * UINT64_C(1000);
}

const char *kp_watchdog_look(uint64_t now_us)
{
    bool asleep = false, hanging = false;

    for (unsigned i = 0; i < count; i++) {
        asleep |= atomic_load(&watched[i].pulse->asleep);
        hanging |= hangs(i, now_us);
    }
    if (!is_lock_free())
        return "the lock is held";
    if (hanging)
        return "a worker does not end";
    if (asleep && atomic_load(&asked))
        return "events are not handled";
    ask();
    return NULL;
}

void kp_watchdog_report(void)
{
    static bool failed;
    const char *why = kp_watchdog_look(kp_now_us());

    if (!why)
        kp_notify_alive();
    if (why && !failed)
        kp_log("error", "no_progress", "\"why\":\"%s\"", why);
    failed = why != NULL;
}
