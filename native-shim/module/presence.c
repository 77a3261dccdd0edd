#include "presence.h"

#include "call.h"
#include "clock.h"
#include "crypt.h"
#include "slot.h"

#include <stdlib.h>

enum { FAREWELL_MS = 200, CLOSING_MS = 2000 };

struct sk_logins {
    pthread_mutex_t lock;
    struct sk_presence *first;
};

struct sk_logins *sk_logins_new(void)
{
    struct sk_logins *all = calloc(1, sizeof(*all));

    if (all)
        pthread_mutex_init(&all->lock, NULL);
    return all;
}

void sk_logins_free(struct sk_logins *all)
{
    if (!all)
        return;
    while (all->first) {
        struct sk_presence *p = all->first;

        all->first = p->next;
        free(p);
    }
    pthread_mutex_destroy(&all->lock);
    free(all);
}

/* Under the lock. NULL: none yet. */
static struct sk_presence *find(struct sk_logins *all, CK_SLOT_ID slot)
{
    struct sk_presence *p = all->first;

    while (p && p->slot != slot)
        p = p->next;
    return p;
}

/* Under the lock. NULL: out of memory. */
static struct sk_presence *find_or_add(struct sk_logins *all, CK_SLOT_ID slot)
{
    struct sk_presence *p = find(all, slot);

    if (p)
        return p;
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->slot = slot;
    p->next = all->first;
    all->first = p;
    return p;
}

struct sk_presence sk_presence_of(struct sk_state *state, CK_SLOT_ID slot)
{
    struct sk_presence none = {.slot = slot}, *p;

    pthread_mutex_lock(&state->logins->lock);
    p = find(state->logins, slot);
    if (p)
        none = *p;
    pthread_mutex_unlock(&state->logins->lock);
    return none;
}

void sk_presence_set(struct sk_state *state, CK_SLOT_ID slot, enum sk_login login)
{
    struct sk_presence *p;

    pthread_mutex_lock(&state->logins->lock);
    p = find(state->logins, slot);
    if (p)
        p->login = login;
    pthread_mutex_unlock(&state->logins->lock);
    sk_bindings_forget(state->bindings);
}

void sk_login_lost(struct sk_state *state, CK_SLOT_ID slot, bool officers)
{
    const enum sk_login lost = officers ? SK_LOGIN_SO : SK_LOGIN_USER;

    if (sk_presence_of(state, slot).login == lost)
        sk_presence_set(state, slot, SK_LOGIN_NONE);
}

/* Takes one login away. False: nobody is logged in. */
static bool take_login(struct sk_state *state, CK_SLOT_ID *slot)
{
    struct sk_presence *p;

    pthread_mutex_lock(&state->logins->lock);
    p = state->logins->first;
    while (p && p->login == SK_LOGIN_NONE)
        p = p->next;
    if (p) {
        *slot = p->slot;
        p->login = SK_LOGIN_NONE;
    }
    pthread_mutex_unlock(&state->logins->lock);
    return p != NULL;
}

void sk_logins_lost(struct sk_state *state)
{
    CK_SLOT_ID slot;

    while (take_login(state, &slot))
        continue;
    sk_bindings_forget(state->bindings);
}

void sk_sessions_count(struct sk_state *state, CK_SLOT_ID slot, CK_ULONG *all, CK_ULONG *read_write)
{
    struct sk_presence p = sk_presence_of(state, slot);

    *all = p.read_only + p.read_write;
    *read_write = p.read_write;
}

CK_RV sk_send_logout(const struct sk_entry *e, CK_SLOT_ID slot, int64_t within_ms)
{
    struct sk_call c;

    sk_call_begin(&c, e, WIRE_logout, 8);
    c.x.patience_ms = within_ms;
    c.x.deadline = sk_now_ms() + within_ms;
    wire_write_u64(&c.w, slot);
    return sk_call_simple(&c);
}

void sk_logins_end(struct sk_state *state)
{
    struct sk_entry e = {.function = "C_Finalize", .state = state};
    CK_SLOT_ID slot;
    uint64_t epoch;

    while (take_login(state, &slot))
        if (sk_link_generation(&state->link, &epoch))
            sk_send_logout(&e, slot, FAREWELL_MS);
}

/* sessions */

static CK_RV count_in(struct sk_state *state, CK_SLOT_ID slot, bool read_write)
{
    struct sk_presence *p;
    CK_RV rv = CKR_OK;

    pthread_mutex_lock(&state->logins->lock);
    p = find_or_add(state->logins, slot);
    if (!p)
        rv = CKR_HOST_MEMORY;
    else if (!read_write && p->login == SK_LOGIN_SO)
        rv = CKR_SESSION_READ_WRITE_SO_EXISTS;
    else
        *(read_write ? &p->read_write : &p->read_only) += 1;
    pthread_mutex_unlock(&state->logins->lock);
    return rv;
}

/* True when it was the last session of a slot with a login: the caller tells the agent. */
static bool count_out(struct sk_state *state, CK_SLOT_ID slot, bool read_write)
{
    struct sk_presence *p;
    bool log_out = false;

    pthread_mutex_lock(&state->logins->lock);
    p = find(state->logins, slot);
    if (p) {
        *(read_write ? &p->read_write : &p->read_only) -= 1;
        log_out = p->login != SK_LOGIN_NONE && p->read_only + p->read_write == 0;
    }
    if (log_out)
        p->login = SK_LOGIN_NONE;
    pthread_mutex_unlock(&state->logins->lock);
    return log_out;
}

CK_RV sk_session_open(struct sk_entry *e, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *out)
{
    const bool read_write = flags & CKF_RW_SESSION;
    CK_FLAGS token = 0;
    CK_RV rv;

    if (!out)
        return CKR_ARGUMENTS_BAD;
    if (!(flags & CKF_SERIAL_SESSION))
        return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    if (flags & CKF_ASYNC_SESSION)
        return CKR_SESSION_ASYNC_NOT_SUPPORTED;
    rv = sk_slot_check(e, slot, &token);
    if (rv != CKR_OK)
        return rv;
    if (read_write && token & CKF_WRITE_PROTECTED)
        return CKR_TOKEN_WRITE_PROTECTED;
    rv = count_in(e->state, slot, read_write);
    if (rv != CKR_OK)
        return rv;
    *out = sk_sessions_open(e->state->sessions, slot, read_write);
    if (*out)
        return CKR_OK;
    count_out(e->state, slot, read_write);
    return CKR_HOST_MEMORY;
}

static void send_closed(const struct sk_entry *e)
{
    struct sk_call c;

    sk_call_begin(&c, e, WIRE_session_closed, 16);
    c.x.patience_ms = 0;
    wire_write_u64(&c.w, e->session->slot);
    wire_write_u64(&c.w, e->session->handle);
    sk_call_simple(&c);
}

CK_RV sk_session_close(struct sk_entry *e)
{
    struct sk_session *s = e->session;

    if (!sk_session_end(s))
        return CKR_SESSION_HANDLE_INVALID;
    sk_crypt_drop_all(e);
    if (atomic_load(&s->has_objects))
        send_closed(e);
    if (count_out(e->state, s->slot, s->read_write)) {
        sk_bindings_forget(e->state->bindings);
        sk_send_logout(e, s->slot, CLOSING_MS);
    }
    return CKR_OK;
}

CK_RV sk_session_close_all(struct sk_entry *e, CK_SLOT_ID slot)
{
    struct sk_entry one = *e;
    CK_RV rv = CKR_OK;
    size_t from = 0;
    uint64_t epoch;

    while ((one.session = sk_sessions_next(e->state->sessions, slot, &from))) {
        sk_session_close(&one);
        sk_session_return(one.session);
    }
    /* A slot that is not there is an error only where somebody could tell. */
    if (sk_link_generation(&e->state->link, &epoch))
        rv = sk_slot_check(e, slot, NULL);
    return rv == CKR_SLOT_ID_INVALID ? rv : CKR_OK;
}

CK_RV sk_session_info(struct sk_entry *e, CK_SESSION_INFO *info)
{
    static const CK_STATE states[][2] = {
        [SK_LOGIN_NONE] = {CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION},
        [SK_LOGIN_USER] = {CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS},
        [SK_LOGIN_SO] = {CKS_RW_SO_FUNCTIONS, CKS_RW_SO_FUNCTIONS},
    };
    const struct sk_session *s = e->session;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    info->slotID = s->slot;
    info->state = states[sk_presence_of(e->state, s->slot).login][s->read_write];
    info->flags = CKF_SERIAL_SESSION | (s->read_write ? CKF_RW_SESSION : 0);
    info->ulDeviceError = atomic_load(&s->last_status);
    return CKR_OK;
}
