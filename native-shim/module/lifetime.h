/*
 * Counting the threads that are inside a thing whose memory is never given back while any of them might look it up: a look
 * costs one atomic addition and no lock. One word holds the count and what the thing is: free (nothing but late lookers),
 * live, or dying, which it is from its end until the last thread has left.
 */
#ifndef SIDEKEY_MODULE_LIFETIME_H
#define SIDEKEY_MODULE_LIFETIME_H

#include <stdatomic.h>
#include <stdbool.h>

typedef atomic_uint sk_lifetime;

#define SK_LIVE (1u << 31)
#define SK_DYING (1u << 30)

/* From free to live, once everything else of it is written. */
static inline void sk_lifetime_begin(sk_lifetime *l) { atomic_fetch_add(l, SK_LIVE); }

/* Enters. False: it is not live; who asked leaves all the same. */
static inline bool sk_lifetime_enter(sk_lifetime *l) { return atomic_fetch_add(l, 1) & SK_LIVE; }

/* Leaves. True: it was dying and this was the last inside; the caller cleans up what is now free. */
static inline bool sk_lifetime_leave(sk_lifetime *l)
{
    unsigned dying = SK_DYING;

    return atomic_fetch_sub(l, 1) == (SK_DYING | 1) && atomic_compare_exchange_strong(l, &dying, 0);
}

/* From live to dying, by a thread inside: nobody else enters. False: another thread was first. */
static inline bool sk_lifetime_end(sk_lifetime *l)
{
    unsigned seen = atomic_load(l);

    while (seen & SK_LIVE)
        if (atomic_compare_exchange_weak(l, &seen, seen - SK_LIVE + SK_DYING))
            return true;
    return false;
}

#endif
