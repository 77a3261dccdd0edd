/*
 * Login, logout and PINs. PINs are copied into the frame that carries them, which is wiped, and nowhere else.
 */
#ifndef SIDEKEY_MODULE_LOGIN_H
#define SIDEKEY_MODULE_LOGIN_H

#include "guard.h"

CK_RV sk_login(struct sk_entry *e, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG pin_len);
CK_RV sk_logout(struct sk_entry *e);
CK_RV sk_init_token(struct sk_entry *e, CK_SLOT_ID slot, const CK_UTF8CHAR *pin, CK_ULONG pin_len,
                    const CK_UTF8CHAR *label);
CK_RV sk_init_pin(struct sk_entry *e, const CK_UTF8CHAR *pin, CK_ULONG pin_len);
CK_RV sk_set_pin(struct sk_entry *e, const CK_UTF8CHAR *old_pin, CK_ULONG old_len, const CK_UTF8CHAR *new_pin,
                 CK_ULONG new_len);

#endif
