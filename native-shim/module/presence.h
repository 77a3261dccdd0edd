/*
 * What this process has in each slot: the number of sessions, and who is logged in (a copy of what the agent knows about the
 * process). Sessions are opened and closed here because closing the last one logs out. Any thread may call.
 */
#ifndef SIDEKEY_MODULE_PRESENCE_H
#define SIDEKEY_MODULE_PRESENCE_H

#include "guard.h"

enum sk_login { SK_LOGIN_NONE, SK_LOGIN_USER, SK_LOGIN_SO };

struct sk_presence {
    struct sk_presence *next;
    CK_SLOT_ID slot;
    enum sk_login login;
    CK_ULONG read_only, read_write; /* sessions */
};

struct sk_logins;

struct sk_logins *sk_logins_new(void);
void sk_logins_free(struct sk_logins *all);

/* C_Finalize: logs out of every slot with a login, without making a connection for it, and waiting only briefly. */
void sk_logins_end(struct sk_state *state);

/* A copy; it may be outdated at once. */
struct sk_presence sk_presence_of(struct sk_state *state, CK_SLOT_ID slot);

/* The agent has logged somebody in or out; what it allows has changed with it. */
void sk_presence_set(struct sk_state *state, CK_SLOT_ID slot, enum sk_login login);

/* Asks for a logout, and waits for it and for a daemon that went away no longer than said. */
CK_RV sk_send_logout(const struct sk_entry *e, CK_SLOT_ID slot, int64_t within_ms);

/* The agent knows of no login in any slot. */
void sk_logins_lost(struct sk_state *state);

/* The agent knows of no login in that slot: of the security officer if `officers`, else of the user. (A security officer who asks for
 * private objects gets CKR_USER_NOT_LOGGED_IN as well, and stays logged in.) */
void sk_login_lost(struct sk_state *state, CK_SLOT_ID slot, bool officers);

/* How many sessions are open in the slot. */
void sk_sessions_count(struct sk_state *state, CK_SLOT_ID slot, CK_ULONG *all, CK_ULONG *read_write);

CK_RV sk_session_open(struct sk_entry *e, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *out);
CK_RV sk_session_close(struct sk_entry *e);
CK_RV sk_session_close_all(struct sk_entry *e, CK_SLOT_ID slot);
CK_RV sk_session_info(struct sk_entry *e, CK_SESSION_INFO *info);

#endif
