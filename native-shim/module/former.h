/*
 * Handles that a logout ended. PKCS#11 (3.1, 5.6.9) has handles to private objects stay invalid when the user logs in again, while the
 * agent names an object by one number for ever: so a process that called C_Logout remembers which objects it was told of since. A handle
 * of an earlier time is asked about once: a private object's is no handle any more, any other is what it was. Session objects need none of
 * it: the private ones are gone with the login. Before a first C_Logout nothing is remembered and nothing asked.
 */
#ifndef SIDEKEY_MODULE_FORMER_H
#define SIDEKEY_MODULE_FORMER_H

#include "guard.h"

struct sk_former;

struct sk_former *sk_former_new(void);
void sk_former_free(struct sk_former *all);

/* The user of that slot is logged out. */
void sk_former_logout(struct sk_state *state, CK_SLOT_ID slot);

/* The process was told of these objects of its session's token. */
void sk_former_told(const struct sk_entry *e, const uint64_t *handles, size_t count);

/* The object is gone. */
void sk_former_gone(const struct sk_entry *e, uint64_t handle);

/* The handle, or one that no object has. */
uint64_t sk_former_check(const struct sk_entry *e, CK_OBJECT_HANDLE handle);

#endif
