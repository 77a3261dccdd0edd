/* Waiting for the reply to a request by the ring: awake while that is short, asleep after. ARCHITECTURE.md, "The ring". */
#include "clock.h"
#include "link.h"

#include <endian.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    PIECE_FIRST_MS = 2, /* sleeps begin short: a keeper that was killed is noticed soon */
    PIECE_MS = 20,
    SPIN_FIRST_US = 40,
    SPIN_MAX_US = 100,
    NAP_SHORT_US = 200, /* before the answer is due: in a virtual machine a timer wakes up to 150 us late */
    NAP_SPIN_US = 400,  /* after a nap: an answer that is due is worth more patience */
    DUE_MAX_US = 1000000,
    PROBE_EVERY = 64,
    EAGER = 80,
    NAP_FIRST_NS = 100000,
    NAP_MAX_NS = 8000000,
    CROWDED = 32,
    NAPS = 4
};

/* Shared: the keeper is another process. */
static void sleep_on(_Atomic uint64_t *mark, uint32_t value, int64_t us)
{
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    syscall(SYS_futex, mark, FUTEX_WAIT, value, &t, NULL, 0);
}

/* `later`: see ring_pause. */
static bool is_done_now(const struct sk_turn *t, size_t later)
{
    return ring_turn(atomic_load_explicit(&t->region->reply[t->slot + later].mark, memory_order_acquire)) == t->number;
}

static bool is_done(const struct sk_turn *t) { return is_done_now(t, 0); }

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Whether every slow answer that this process waits for may have a processor, and who spins for it another. A processor that is
 * spun away is one that the keeper does not answer on. */
static bool has_room(const struct sk_pace *pace)
{
    return 2 * atomic_load_explicit(&pace->waiting_slow, memory_order_relaxed) <=
           atomic_load_explicit(&pace->processors, memory_order_relaxed);
}

/* Most short replies are here before a pause or a look at the clock would be worth it. */
static bool look(const struct sk_turn *t)
{
    for (unsigned i = 0; i < EAGER; i++)
        if (is_done_now(t, ring_pause()))
            return true;
    return false;
}

static bool spin(const struct sk_turn *t, const struct sk_pace *pace, unsigned budget_us)
{
    int64_t begun = now_us();

    do {
        for (unsigned i = 0; i < 16; i++) {
            if (is_done(t))
                return true;
            relax();
        }
    } while (has_room(pace) && now_us() - begun < budget_us);
    return is_done(t);
}

/* Leaves the processor to who answers and to threads that get answers. By the clock: to wake so many would cost the keeper more
 * than to answer them, and to yield would only hand the processor around among those who wait. Who wakes takes the processor from
 * a thread that gets answers, or from the worker. So each naps for longer by the square of how many nap: all together they wake
 * less often the more they are. */
static bool give_way(const struct sk_turn *t, struct sk_pace *pace)
{
    const long napping = (long)atomic_fetch_add_explicit(&pace->napping, 1, memory_order_relaxed) + 1;
    long ns = NAP_FIRST_NS * napping * napping;
    bool found = false;

    for (unsigned i = 0; i < NAPS && !found; i++, ns *= 2) {
        const struct timespec pause = {.tv_nsec = ns < NAP_MAX_NS ? ns : NAP_MAX_NS};

        nanosleep(&pause, NULL);
        found = is_done(t);
    }
    atomic_fetch_sub_explicit(&pace->napping, 1, memory_order_relaxed);
    return found;
}

void sk_ring_announce_sleep(const struct sk_turn *t)
{
    const int processor = sched_getcpu();

    atomic_store(&t->region->waiting[t->slot], processor < 0 ? 1 : (uint32_t)processor + 1);
}

void sk_ring_announce_awake(const struct sk_turn *t) { atomic_store(&t->region->waiting[t->slot], 0); }

/* On the reply's turn, unless it is there. */
static void sleep_for(const struct sk_turn *t, int64_t us)
{
    _Atomic uint64_t *mark = &t->region->reply[t->slot].mark;
    uint32_t before;

    sk_ring_announce_sleep(t);
    before = ring_turn(atomic_load(mark));
    if (before != t->number)
        sleep_on(mark, before, us);
    sk_ring_announce_awake(t);
}

/* Sleeps until shortly before an answer that takes long is due, and leaves the rest to a spin: to be woken would cost a tenth
 * of a signature. */
static void nap(const struct sk_turn *t, unsigned us) { sleep_for(t, us); }

static unsigned first_spin(enum sk_pace_class which) { return which < SK_PACE_CURVE ? SPIN_FIRST_US : SPIN_MAX_US; }

/* What worked is tried for longer, what did not for less: beside busy threads a spin keeps the reply away. */
static bool spin_by(const struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which)
{
    unsigned learnt = atomic_load_explicit(&pace->budget_us[which], memory_order_relaxed), budget = learnt, next;
    unsigned due = atomic_load_explicit(&pace->due_us[which], memory_order_relaxed);
    bool found;

    if (learnt < 2 && atomic_fetch_add_explicit(&pace->skipped, 1, memory_order_relaxed) % PROBE_EVERY == 0)
        budget = first_spin(which); /* the keeper was asleep too */
    if (budget >= 2 && due > NAP_SHORT_US) {
        nap(t, due - NAP_SHORT_US);
        found = spin(t, pace, NAP_SPIN_US);
    } else {
        found = budget ? spin(t, pace, budget) : is_done(t);
    }
    if (!found && !has_room(pace))
        return false;
    next = found ? budget + 2 : learnt / 2;
    next = next < SPIN_MAX_US ? next : SPIN_MAX_US;
    if (next != learnt)
        atomic_store_explicit(&pace->budget_us[which], next, memory_order_relaxed);
    return found;
}

/* Who was crowded goes on to sleep for a while: between two of its requests another thread waits for nothing. */
static bool may_spin(struct sk_pace *pace)
{
    unsigned left = atomic_load_explicit(&pace->crowded, memory_order_relaxed);
    const bool room = has_room(pace);

    if (!room || left)
        atomic_store_explicit(&pace->crowded, room ? left - 1 : CROWDED, memory_order_relaxed);
    return room && !left;
}

bool sk_pace_sleeps(const struct sk_pace *pace, enum sk_pace_class which)
{
    return which > SK_PACE_SHORT && atomic_load_explicit(&pace->crowded, memory_order_relaxed);
}

static bool wait_awake(const struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which)
{
    bool found;

    if (atomic_load_explicit(&pace->processors, memory_order_relaxed) == 1)
        return is_done(t);
    if (which > SK_PACE_SHORT)
        return may_spin(pace) && spin_by(t, pace, which);
    if (look(t))
        return true;
    if (atomic_exchange_explicit(&pace->spinning, true, memory_order_relaxed))
        return give_way(t, pace);
    found = spin_by(t, pace, which);
    atomic_store_explicit(&pace->spinning, false, memory_order_relaxed);
    return found;
}

static enum sk_io sleep_until_done(struct sk_turn *t)
{
    int64_t piece = PIECE_FIRST_MS, now = sk_now_ms();

    if (!t->deadline)
        t->deadline = now + WIRE_DEADLINE_MS;
    for (; now < t->deadline; now = sk_now_ms(), piece = sk_earlier(2 * piece, PIECE_MS)) {
        /* Who polls may have lost its processor: another worker may have one. */
        if (!t->rang && atomic_load(&t->region->running[t->slot]) != t->number)
            sk_ring_ring(t->ring);
        t->rang = false;
        sleep_for(t, 1000 * sk_earlier(piece, t->deadline - now));
        if (is_done(t))
            return SK_IO_OK;
        if (sk_ring_hung_up(t->ring))
            return is_done(t) ? SK_IO_OK : SK_IO_BROKEN;
    }
    return SK_IO_TIMEOUT;
}

/* The line into private memory, where it is checked. */
static enum sk_io read_reply(struct sk_turn *t)
{
    const struct ring_line *line = &t->region->reply[t->slot];
    size_t all = ring_length(atomic_load_explicit(&line->mark, memory_order_relaxed));
    uint32_t head;

    t->posted = false;
    t->at = 0;
    memcpy(t->head, line->head, sizeof(t->head));
    memcpy(&head, t->head, sizeof(head));
    head = le32toh(head);
    if ((uint16_t)head != (t->type | WIRE_REPLY) || all < RING_HEADER_BYTES || all > RING_FRAME_BYTES)
        return SK_IO_BROKEN;
    t->length = all - RING_HEADER_BYTES;
    t->status = (uint16_t)(head >> 16);
    return SK_IO_OK;
}

/* What an answer takes, for the next nap. An answer that lay there when its nap ended took less than was thought. */
static void learn(struct sk_pace *pace, enum sk_pace_class which, int64_t took)
{
    int64_t due = atomic_load_explicit(&pace->due_us[which], memory_order_relaxed);

    due = due ? due + (took - due) / 8 : took;
    atomic_store_explicit(&pace->due_us[which], (unsigned)sk_earlier(due, DUE_MAX_US), memory_order_relaxed);
}

static enum sk_io wait_slow(struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which)
{
    const bool first = atomic_fetch_add(&pace->waiting_slow, 1) == 0;
    int64_t begun = now_us();
    enum sk_io r = wait_awake(t, pace, which) ? SK_IO_OK : sleep_until_done(t);

    if (first && r == SK_IO_OK && which >= SK_PACE_LONG)
        learn(pace, which, now_us() - begun);
    atomic_fetch_sub(&pace->waiting_slow, 1);
    return r;
}

enum sk_io sk_ring_wait(struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which)
{
    enum sk_io r;

    if (which > SK_PACE_SHORT)
        r = wait_slow(t, pace, which);
    else
        r = wait_awake(t, pace, which) ? SK_IO_OK : sleep_until_done(t);
    if (t->sleeps)
        sk_ring_announce_awake(t);
    return r == SK_IO_OK ? read_reply(t) : r;
}

void sk_pace_init(struct sk_pace *pace)
{
    cpu_set_t usable;

    for (unsigned i = 0; i < SK_PACES; i++) {
        atomic_init(&pace->budget_us[i], first_spin(i));
        atomic_init(&pace->due_us[i], 0);
    }
    atomic_init(&pace->waiting_slow, 0);
    atomic_init(&pace->crowded, 0);
    atomic_init(&pace->spinning, false);
    atomic_init(&pace->napping, 0);
    atomic_init(&pace->processors, sched_getaffinity(0, sizeof(usable), &usable) == 0 ? (unsigned)CPU_COUNT(&usable) : 2);
}
