/*
 * What this process has in each slot: how many sessions, and who is logged in (a mirror of what the agent knows of the
 * process). Opening and closing sessions lives here because the last session closed logs out.
 */
#ifndef SIDEKEY_MODULE_LOGIN_H
#define SIDEKEY_MODULE_LOGIN_H

#include "guard.h"

enum sk_login { SK_LOGIN_NONE, SK_LOGIN_USER, SK_LOGIN_SO };

struct sk_logins;

struct sk_logins *sk_logins_new(void);
void sk_logins_free(struct sk_logins *all);

/* C_Finalize: logs out where somebody is logged in, without connecting for it and not for long. */
void sk_logins_end(struct sk_state *state);

/* The agent knows of no login in that slot. */
void sk_login_lost(struct sk_state *state, CK_SLOT_ID slot);

/* How many sessions are open in the slot. */
void sk_sessions_count(struct sk_state *state, CK_SLOT_ID slot, CK_ULONG *all, CK_ULONG *read_write);

CK_RV sk_session_open(struct sk_entry *e, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *out);
CK_RV sk_session_close(struct sk_entry *e);
CK_RV sk_session_close_all(struct sk_entry *e, CK_SLOT_ID slot);
CK_RV sk_session_info(struct sk_entry *e, CK_SESSION_INFO *info);

CK_RV sk_login(struct sk_entry *e, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG pin_len);
CK_RV sk_logout(struct sk_entry *e);
CK_RV sk_init_token(struct sk_entry *e, CK_SLOT_ID slot, const CK_UTF8CHAR *pin, CK_ULONG pin_len,
                    const CK_UTF8CHAR *label);
CK_RV sk_init_pin(struct sk_entry *e, const CK_UTF8CHAR *pin, CK_ULONG pin_len);
CK_RV sk_set_pin(struct sk_entry *e, const CK_UTF8CHAR *old_pin, CK_ULONG old_len, const CK_UTF8CHAR *new_pin,
                 CK_ULONG new_len);

#endif
