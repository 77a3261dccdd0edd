/*
 * Handles that C_Logout made invalid. PKCS#11 (3.1, 5.6.9) requires that handles to private objects stay invalid after the next
 * login, but the agent never changes the number of an object. A process that called C_Logout therefore remembers which handles it has
 * received since. For any other handle it asks the agent once whether the object is private: if so, the handle is invalid; if not, it
 * is valid as before. Session objects need no such check: private ones are destroyed by the logout. Before the first C_Logout nothing is
 * remembered or asked. Any thread may call.
 */
#ifndef SIDEKEY_MODULE_FORMER_H
#define SIDEKEY_MODULE_FORMER_H

#include "guard.h"

struct sk_former;

struct sk_former *sk_former_new(void);
void sk_former_free(struct sk_former *all);

/* The user of that slot is logged out. */
void sk_former_logout(struct sk_state *state, CK_SLOT_ID slot);

/* The process has received these handles, of the token of its session. */
void sk_former_told(const struct sk_entry *e, const uint64_t *handles, size_t count);

/* The object is gone. */
void sk_former_gone(const struct sk_entry *e, uint64_t handle);

/* The handle, or one that no object has if a logout made it invalid. May ask the agent, and so wait. */
uint64_t sk_former_check(const struct sk_entry *e, CK_OBJECT_HANDLE handle);

#endif
