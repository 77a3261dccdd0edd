/* What the watchdog takes for work, and what for a hang: the time handed in, the workers played. */
#include <pthread.h>
#include <unistd.h>

#include "keeper_tap.h"
#include "state.h"
#include "watchdog.h"

static const uint64_t SECOND = 1000000, BEGIN = 77 * UINT64_C(1000000), MOST = KP_WORK_MAX_MS * UINT64_C(1000);

/* Whether the question is in the event loop, and takes it out as a worker does. */
static bool answer(void)
{
    uint64_t value = 0;
    bool there = read(kp_watchdog_fd(), &value, sizeof(value)) == sizeof(value);

    if (there && write(kp_watchdog_fd(), &value, sizeof(value)) < 0)
        return false;
    kp_watchdog_answer();
    return there;
}

static bool says(uint64_t at, const char *expected)
{
    const char *why = kp_watchdog_look(at);

    return expected ? why && strcmp(why, expected) == 0 : !why;
}

static void *hold(void *until)
{
    kp_lock();
    while (!atomic_load((atomic_bool *)until))
        usleep(1000);
    kp_unlock();
    return NULL;
}

static void lock_is_held(void)
{
    atomic_bool over = false;
    pthread_t thread;

    pthread_create(&thread, NULL, hold, &over);
    usleep(50 * 1000);
    ok(says(BEGIN, "the lock is held"), "a lock that cannot be had for a second is a hang");
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    ok(says(BEGIN, NULL), "and no longer, once it is released");
    answer();
}

int main(void)
{
    struct kp_pulse a = {.asleep = true}, b = {.asleep = true};
    const uint64_t late = BEGIN + 10 * MOST;

    kp_watchdog_add(&a);
    kp_watchdog_add(&b);
    ok(kp_watchdog_open() == 0 && says(BEGIN, NULL) && answer(), "each look puts a question to the event loop");
    ok(says(BEGIN + SECOND, NULL) && says(BEGIN + 2 * SECOND, "events are not handled"),
       "a question that nobody takes while a worker sleeps is a hang");
    a.asleep = b.asleep = false;
    ok(says(BEGIN + 3 * SECOND, NULL), "but not while all workers are at work");
    answer();
    kp_pulse_turn(&a);
    kp_pulse_turn(&b);
    kp_watchdog_look(late);
    answer();
    ok(says(late + MOST - SECOND, NULL), "a worker may be at one piece of work for twice the deadline of a search for primes");
    answer();
    ok(says(late + MOST, "a worker does not end"), "and no longer");
    kp_pulse_turn(&a);
    ok(says(late + MOST + SECOND, "a worker does not end"), "although another one turns");
    kp_pulse_turn(&b);
    ok(says(late + MOST + 2 * SECOND, NULL), "one that goes on is well again");
    answer();
    a.asleep = b.asleep = true;
    ok(says(late + 9 * MOST, NULL), "one that sleeps may do so for ever");
    answer();
    lock_is_held();
    return done();
}
