#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "arena.h"
#include "arena_near.h"
#include "clock.h"
#include "conn.h"
#include "handle.h"
#include "lifetime.h"
#include "listen.h"
#include "log.h"
#include "poll.h"
#include "read.h"
#include "registers.h"
#include "stack.h"
#include "timer.h"
#include "watchdog.h"

#ifdef SIDEKEY_SANITIZED
enum { STACK_BYTES = 1024 * 1024 }; /* ThreadSanitizer keeps 900 KiB of its own there */
#else
enum { STACK_BYTES = 128 * 1024 };
#endif

/* Numbers of connections begin above these. */
enum { FROM_TIMER = 1, FROM_HUNGRY, FROM_WATCHDOG, FROM_PKCS11, FROM_CONTROL, STARVED_MS = 100, HUNGRY_MS = 50 };

struct worker {
    uint8_t in[WIRE_BODY_MAX];
    uint8_t out[WIRE_HEADER_BYTES + WIRE_BODY_MAX];
    struct kp_poller poller;
    struct kp_near near;
    struct kp_pulse pulse;
};

static int epoll_fd = -1, listeners[2] = {-1, -1};
static atomic_uint waiting; /* workers that sleep */
static atomic_uint starved; /* listeners that nothing can be accepted from, as bits */
static atomic_bool starved_before;

static void set_deadline(struct kp_conn *conn, enum kp_reading result)
{
    bool pending = conn->have > 0 && result != KP_READ_FRAME;

    if (!pending) {
        atomic_store(&conn->input_deadline, 0);
    } else if (!atomic_load(&conn->input_deadline)) {
        atomic_store(&conn->input_deadline, kp_now_ms() + WIRE_DEADLINE_MS);
        kp_timer_by(atomic_load(&conn->input_deadline));
    }
}

static void readable(struct kp_conn *conn, struct worker *w)
{
    struct wire_header h;
    enum kp_reading result;
    bool ordered;

    if (!kp_conn_begin_reading(conn))
        return;
    result = kp_read_frame(conn, w->in, &h);
    set_deadline(conn, result);
    if (result == KP_READ_END) {
        kp_conn_close(conn);
        return;
    }
    ordered = result == KP_READ_FRAME && kp_handle_in_order(conn, &h);
    if (!ordered)
        kp_conn_end_reading(conn, result == KP_READ_HUNGRY);
    /* Memory that was released before this connection was marked as waiting did not wake it. */
    if (result == KP_READ_HUNGRY && kp_frame_fits(KP_FRAMES_PARTIAL, conn->holder, h.length))
        kp_wake_hungry();
    if (result == KP_READ_HUNGRY) /* its frame may be whole by then, and needs no memory */
        kp_timer_by(kp_now_ms() + HUNGRY_MS);
    if (result == KP_READ_FRAME) {
        kp_handle(conn, &h, (struct wire_bytes){w->in, h.length}, w->out);
        wire_wipe(w->in, h.length);
    }
    if (ordered)
        kp_conn_end_reading(conn, false);
}

static void on_connection(uint64_t number, uint32_t events, struct worker *w)
{
    struct kp_conn *conn = kp_conn_take(number);

    if (!conn)
        return;
    if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
        kp_conn_close(conn);
    else if (events & EPOLLOUT)
        kp_conn_flush(conn);
    else
        readable(conn, w);
    kp_conn_drop(conn);
}

static void drain(int fd)
{
    uint64_t count;

    while (read(fd, &count, sizeof(count)) == sizeof(count))
        ;
}

static int watch(int fd, uint64_t from, int how)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = from}};

    return epoll_ctl(epoll_fd, how, fd, &e);
}

/* Nothing can be accepted: there are no descriptors, here or in the whole system. To look again at once would be to spin. */
static void starve(uint64_t from)
{
    if (!atomic_exchange(&starved_before, true))
        kp_log("warn", "accept_failed", "\"why\":\"no descriptors\"");
    atomic_fetch_or(&starved, 1U << from);
    kp_timer_by(kp_now_ms() + STARVED_MS);
}

static void watch_starved(void)
{
    unsigned which = atomic_exchange(&starved, 0);

    for (uint64_t from = FROM_PKCS11; from <= FROM_CONTROL; from++)
        if (which & 1U << from)
            watch(listeners[from - FROM_PKCS11], from, EPOLL_CTL_MOD);
}

static void on_event(const struct epoll_event *e, struct worker *w)
{
    uint64_t from = e->data.u64;

    switch (from) {
    case FROM_TIMER:
        drain(kp_timer_fd());
        if (kp_expire(kp_now_ms()))
            kp_stop("nobody was there");
        watch_starved();
        if (kp_any_hungry())
            kp_conns_feed();
        watch(kp_timer_fd(), from, EPOLL_CTL_MOD);
        break;
    case FROM_HUNGRY:
        drain(kp_hungry_fd());
        kp_conns_feed();
        watch(kp_hungry_fd(), from, EPOLL_CTL_MOD);
        break;
    case FROM_WATCHDOG:
        kp_watchdog_answer();
        watch(kp_watchdog_fd(), from, EPOLL_CTL_MOD);
        break;
    case FROM_PKCS11:
    case FROM_CONTROL:
        if (kp_listen_accept(listeners[from - FROM_PKCS11], from == FROM_CONTROL ? KP_AGENT : KP_CLIENT))
            watch(listeners[from - FROM_PKCS11], from, EPOLL_CTL_MOD);
        else
            starve(from);
        break;
    default:
        on_connection(from, e->events, w);
    }
}

static void on_bell(uint64_t number, struct worker *w)
{
    struct kp_conn *conn = kp_conn_take(number);

    if (!conn)
        return;
    kp_poll_bell(&w->poller, conn);
    kp_conn_drop(conn);
}

static void on_any(const struct epoll_event *e, struct worker *w)
{
    if (e->data.u64 & KP_CONN_BELL) {
        on_bell(e->data.u64 & ~KP_CONN_BELL, w);
        return;
    }
    kp_poll_leave(&w->poller);
    on_event(e, w);
    kp_poll_return(&w->poller);
}

/* While it has rings to look at it looks at the rest only when nobody else would. */
static int next_event(struct worker *w, struct epoll_event *e)
{
    int got;

    if (kp_poll_look(&w->poller))
        return atomic_load(&waiting) ? 0 : epoll_wait(epoll_fd, e, 1, 0);
    kp_poll_wipe(&w->poller);
    kp_registers_wipe();
    atomic_fetch_add(&waiting, 1);
    atomic_store_explicit(&w->pulse.asleep, true, memory_order_relaxed);
    got = epoll_wait(epoll_fd, e, 1, -1);
    atomic_store_explicit(&w->pulse.asleep, false, memory_order_relaxed);
    atomic_fetch_sub(&waiting, 1);
    return got;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct epoll_event e;

    kp_arena_near(&w->near);
    for (;;) {
        kp_pulse_turn(&w->pulse);
        if (next_event(w, &e) == 1)
            on_any(&e, w);
    }
    return NULL;
}

/* The thread lives as long as the process: joining it would need a shared futex, which memory of memfd_secret does not
 * support. */
static int start(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    struct worker *w = kp_alloc(sizeof(*w));
    void *stack = w ? kp_stack_new(STACK_BYTES) : NULL;
    int error;

    if (!stack)
        return -1;
    kp_watchdog_add(&w->pulse);
    w->poller.in = w->in;
    w->poller.out = w->out;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* Without the attribute the thread would get a stack in ordinary memory. */
    error = pthread_attr_setstack(&attributes, stack, STACK_BYTES);
    if (!error)
        error = pthread_create(&thread, &attributes, work, w);
    pthread_attr_destroy(&attributes);
    errno = error;
    return error ? -1 : 0;
}

int kp_loop_open(unsigned workers)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || kp_timer_open() != 0 || kp_watchdog_open() != 0)
        return -1;
    kp_conn_epoll(epoll_fd);
    kp_poll_open();
    for (unsigned i = 0; i < workers; i++)
        if (start() != 0)
            return -1;
    return 0;
}

int kp_loop_listen(int pkcs11_fd, int control_fd)
{
    listeners[0] = pkcs11_fd;
    listeners[1] = control_fd;
    if (watch(kp_timer_fd(), FROM_TIMER, EPOLL_CTL_ADD) != 0 || watch(kp_hungry_fd(), FROM_HUNGRY, EPOLL_CTL_ADD) != 0 ||
        watch(kp_watchdog_fd(), FROM_WATCHDOG, EPOLL_CTL_ADD) != 0)
        return -1;
    if (watch(pkcs11_fd, FROM_PKCS11, EPOLL_CTL_ADD) != 0 || watch(control_fd, FROM_CONTROL, EPOLL_CTL_ADD) != 0)
        return -1;
    if (kp.linger_ms)
        kp_timer_by(kp.idle_since + kp.linger_ms);
    return 0;
}
