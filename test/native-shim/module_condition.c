/* The condition variable of module/condition.h by itself: who sleeps is woken, by one signal one, by a broadcast all. */
#include "condition.h"

#include "../../native-shim/module/clock.h"
#include "peer.h"

enum { SLEEPERS = 4, PATIENCE_MS = 5000, MOMENT_MS = 100 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sk_condition condition;
static unsigned asleep, tickets, woken;

/* Takes a ticket when there is one. Gives whether it did. */
static void *sleeper(void *arg)
{
    const int64_t deadline = sk_now_ms() + PATIENCE_MS;
    int result = 0;

    (void)arg;
    pthread_mutex_lock(&lock);
    asleep++;
    while (!tickets && result == 0)
        result = sk_condition_wait(&condition, &lock, deadline);
    tickets -= result == 0;
    woken += result == 0;
    pthread_mutex_unlock(&lock);
    return (void *)(result == 0 ? 1UL : 0UL);
}

static unsigned read_locked(const unsigned *number)
{
    unsigned seen;

    pthread_mutex_lock(&lock);
    seen = *number;
    pthread_mutex_unlock(&lock);
    return seen;
}

static void start(pthread_t all[SLEEPERS])
{
    asleep = woken = tickets = 0;
    for (int i = 0; i < SLEEPERS; i++)
        pthread_create(&all[i], NULL, sleeper, NULL);
    while (read_locked(&asleep) < SLEEPERS)
        usleep(1000);
    usleep(1000 * MOMENT_MS); /* from counted to asleep */
}

/* How many of them were woken before their deadline. */
static unsigned long join(pthread_t all[SLEEPERS])
{
    unsigned long sum = 0;

    for (int i = 0; i < SLEEPERS; i++) {
        void *one;

        pthread_join(all[i], &one);
        sum += (unsigned long)one;
    }
    return sum;
}

static void hand_out(unsigned how_many, void (*wake)(struct sk_condition *c))
{
    pthread_mutex_lock(&lock);
    tickets += how_many;
    wake(&condition);
    pthread_mutex_unlock(&lock);
}

static void signals(void)
{
    pthread_t all[SLEEPERS];
    long begun;

    start(all);
    begun = now_ms();
    hand_out(1, sk_condition_signal);
    while (!read_locked(&woken) && now_ms() - begun < PATIENCE_MS)
        usleep(1000);
    ok(now_ms() - begun < PATIENCE_MS / 2, "a signal wakes a sleeper");
    for (int i = 1; i < SLEEPERS; i++)
        hand_out(1, sk_condition_signal);
    is(join(all), SLEEPERS, "as many signals wake all");
    ok(now_ms() - begun < PATIENCE_MS / 2, "long before their deadline");
}

/* A signal wakes one of those who sleep, however many there is something for. */
static void one_of_many(void)
{
    pthread_t all[SLEEPERS];

    start(all);
    hand_out(SLEEPERS, sk_condition_signal);
    usleep(1000 * MOMENT_MS);
    is(read_locked(&woken), 1, "one signal wakes one of four");
    hand_out(0, sk_condition_broadcast);
    is(join(all), SLEEPERS, "a broadcast all others");
}

static void deadlines(void)
{
    long begun = now_ms();

    sk_condition_signal(&condition);
    pthread_mutex_lock(&lock);
    is((unsigned long)sk_condition_wait(&condition, &lock, sk_now_ms() + MOMENT_MS), ETIMEDOUT,
       "a signal that nobody waited for is not kept");
    pthread_mutex_unlock(&lock);
    ok(now_ms() - begun >= MOMENT_MS && now_ms() - begun < PATIENCE_MS, "the wait ends at its deadline");
}

int main(void)
{
    sk_condition_init(&condition);
    signals();
    one_of_many();
    deadlines();
    return done_testing();
}
