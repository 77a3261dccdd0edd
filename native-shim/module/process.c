#include "process.h"

#include "answers.h"
#include "binding.h"
#include "former.h"
#include "presence.h"
#include "session.h"
#include "slot.h"
#include "trace.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * The gate is a page of .bss that the kernel wipes in the child of a fork (MADV_WIPEONFORK), so that the child finds no state
 * and no lock held by a thread that it does not have. If the kernel cannot do that, or accepts any advice (qemu-user 7), the pid is
 * compared each time.
 */
enum { GATE_ALIGNMENT = 65536 /* the largest page of any host */, NO_ADVICE = 0x7ffe };

struct gate {
    _Atomic(struct sk_state *) state;
    atomic_flag opening;
    atomic_bool by_pid;
    atomic_int pid;
};

static union {
    struct gate gate;
    unsigned char page[GATE_ALIGNMENT];
} whole __attribute__((aligned(GATE_ALIGNMENT)));

/* The state whose descriptors a child inherits and closes: written before the gate opens, read when it opens again. */
static struct sk_state *inherited;

static struct gate *gate(void)
{
    struct gate *g = &whole.gate;

    if (atomic_load_explicit(&g->by_pid, memory_order_relaxed) && atomic_load(&g->pid) != getpid()) {
        atomic_store(&g->state, NULL);
        atomic_flag_clear(&g->opening);
        atomic_store(&g->pid, getpid());
    }
    return g;
}

static bool kernel_wipes(void)
{
    long page = sysconf(_SC_PAGESIZE);

    return page > 0 && page <= GATE_ALIGNMENT && madvise(&whole, (size_t)page, NO_ADVICE) != 0 &&
           madvise(&whole, (size_t)page, MADV_WIPEONFORK) == 0;
}

static void mark(struct gate *g)
{
    atomic_store(&g->pid, getpid());
    atomic_store(&g->by_pid, !kernel_wipes());
}

/* The parent's state, as it was when the parent forked. A thread that does not exist here may hold its locks, so only the
 * descriptors are closed, and nothing else of it is touched or freed. */
static void forget_parent(void)
{
    struct sk_state *old = inherited;

    inherited = NULL;
    if (!old)
        return;
    if (old->link.now && old->link.now->ring)
        sk_ring_forget(old->link.now->ring);
    if (old->link.now)
        sk_descriptor_close(&old->link.now->socket);
    sk_descriptor_close(&old->trace);
}

/* States are reused and never freed, since a thread may have read the address and be about to check whether the state is live.
 * One is enough, except in the child of a fork, and when the host calls C_Initialize while threads are still inside the old one. */
static struct sk_state first;

static struct sk_state *find_free(void)
{
    struct sk_state *s;

    for (s = &first; s; s = s->next)
        if (!atomic_exchange(&s->used, true))
            return s;
    s = calloc(1, sizeof(*s));
    if (s) {
        atomic_store(&s->used, true);
        s->next = first.next;
        first.next = s;
    }
    return s;
}

static void empty(struct sk_state *s)
{
    sk_sessions_free(s->sessions);
    sk_slots_free(s->slots);
    sk_logins_free(s->logins);
    sk_bindings_free(s->bindings);
    sk_answers_free(s->answers);
    sk_former_free(s->former);
    sk_descriptor_close(&s->trace);
    sk_link_free(&s->link);
    atomic_store(&s->used, false);
}

static struct sk_state *new_state(void)
{
    struct sk_state *s = find_free();

    if (!s)
        return NULL;
    sk_link_init(&s->link);
    atomic_store(&s->anew_seen, 0);
    s->trace.fd = -1;
    s->link.trace = &s->trace;
    s->sessions = sk_sessions_new(s, s == &first);
    s->slots = sk_slots_new();
    s->logins = sk_logins_new();
    s->bindings = sk_bindings_new();
    s->answers = sk_answers_new();
    s->former = sk_former_new();
    if (!s->sessions || !s->slots || !s->logins || !s->bindings || !s->answers || !s->former) {
        empty(s);
        return NULL;
    }
    sk_trace_open(&s->trace);
    sk_lifetime_begin(&s->inside);
    return s;
}

static CK_RV open_gate(struct gate *g)
{
    struct sk_state *s;

    if (atomic_load(&g->state))
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    forget_parent();
    mark(g);
    s = new_state();
    if (!s)
        return CKR_HOST_MEMORY;
    inherited = s;
    atomic_store(&g->state, s);
    return CKR_OK;
}

/* Pauses rather than yields: a thread of a real-time class that yielded would never let one of a lower priority go on. */
static void take_gate(struct gate *g)
{
    const struct timespec pause = {.tv_nsec = 50000};

    while (atomic_flag_test_and_set(&g->opening))
        nanosleep(&pause, NULL);
}

static void release_gate(struct gate *g) { atomic_flag_clear(&g->opening); }

CK_RV sk_process_open(void)
{
    struct gate *g = gate();
    CK_RV rv;

    take_gate(g);
    rv = open_gate(g);
    release_gate(g);
    return rv;
}

CK_RV sk_process_close(void)
{
    struct gate *g = gate();
    struct sk_state *s;

    take_gate(g);
    s = sk_process_hold();
    if (s) {
        atomic_store(&g->state, NULL);
        sk_lifetime_end(&s->inside);
        inherited = NULL;
    }
    release_gate(g);
    if (!s)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    sk_slots_end(s);
    sk_logins_end(s);
    sk_link_close(&s->link);
    sk_sessions_end(s->sessions);
    sk_process_release(s);
    return CKR_OK;
}

struct sk_state *sk_process_hold(void)
{
    struct sk_state *s = atomic_load_explicit(&gate()->state, memory_order_acquire);

    if (!s)
        return NULL;
    if (sk_lifetime_enter(&s->inside))
        return s;
    sk_process_release(s);
    return NULL;
}

struct sk_session *sk_process_session(CK_SESSION_HANDLE handle, struct sk_state **state)
{
    *state = atomic_load_explicit(&gate()->state, memory_order_acquire);
    return *state == &first ? sk_session_take_near(handle) : NULL;
}

void sk_process_release(struct sk_state *s)
{
    if (sk_lifetime_leave(&s->inside))
        empty(s);
}
