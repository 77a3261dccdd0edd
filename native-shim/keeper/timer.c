#include "timer.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cell.h"
#include "conn.h"
#include "park.h"
#include "state.h"

static int timer_fd = -1, hungry_fd = -1;
static atomic_int hungry;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t armed; /* for when; 0: not */

int kp_timer_open(void)
{
    timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    hungry_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return timer_fd < 0 || hungry_fd < 0 ? -1 : 0;
}

int kp_timer_fd(void) { return timer_fd; }
int kp_hungry_fd(void) { return hungry_fd; }

static void arm(uint64_t at)
{
    struct itimerspec when = {{0, 0}, {(time_t)(at / 1000), (long)(at % 1000) * 1000000}};

    armed = at;
    if (timer_fd >= 0)
        timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void kp_timer_by(uint64_t deadline_ms)
{
    pthread_mutex_lock(&lock);
    if (deadline_ms && (!armed || deadline_ms < armed))
        arm(deadline_ms);
    pthread_mutex_unlock(&lock);
}

static void earlier(uint64_t *next, uint64_t deadline)
{
    if (deadline && (!*next || deadline < *next))
        *next = deadline;
}

bool kp_expire(uint64_t now_ms)
{
    uint64_t next = 0;
    bool idle;

    pthread_mutex_lock(&lock);
    armed = 0;
    pthread_mutex_unlock(&lock);
    kp_lock();
    earlier(&next, kp_cell_expire(now_ms));
    earlier(&next, kp_park_expire(now_ms));
    earlier(&next, kp_conn_expire(now_ms));
    idle = kp.linger_ms && kp.clients == 0 && !kp.agent;
    if (idle)
        earlier(&next, kp.idle_since + kp.linger_ms);
    kp_unlock();
    if (idle && kp.idle_since + kp.linger_ms <= now_ms)
        return true;
    kp_timer_by(next);
    return false;
}

void kp_hungry(int change) { atomic_fetch_add(&hungry, change); }

bool kp_any_hungry(void) { return atomic_load(&hungry) > 0; }

void kp_wake_hungry(void)
{
    uint64_t one = 1;

    if (atomic_load(&hungry) > 0 && hungry_fd >= 0 && write(hungry_fd, &one, sizeof(one)) < 0)
        return; /* EAGAIN: it is awake already */
}
