/*
 * Long data on its way to the keeper: lines that this processor no longer has in its own cache, but in the one that both share, are
 * read four times as fast there. It costs as much here, which is nothing lost while the keeper works on the piece before.
 */
#include "ring.h"

#if defined(__x86_64__)

#include <cpuid.h>

enum { CLDEMOTE = 1 << 25, LINE = 64 };
enum { UNKNOWN, YES, NO };

/* Older processors take the instruction for none at all; asked all the same, so as not to walk the lines for nothing. */
static bool is_there(void)
{
    static atomic_int known = UNKNOWN;
    unsigned a, b, c, d;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);

    if (answer == UNKNOWN) {
        answer = __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & CLDEMOTE ? YES : NO;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == YES;
}

__attribute__((target("cldemote"))) void sk_ring_push(const struct sk_turn *t)
{
    size_t in_rest = t->at + RING_HEADER_BYTES > RING_LINE_BYTES ? t->at + RING_HEADER_BYTES - RING_LINE_BYTES : 0;
    uint8_t *at = t->region->rest[t->slot];

    if (!is_there())
        return;
    for (size_t i = 0; i < in_rest; i += LINE)
        __builtin_ia32_cldemote(at + i);
}

#else

void sk_ring_push(const struct sk_turn *t) { (void)t; }

#endif
