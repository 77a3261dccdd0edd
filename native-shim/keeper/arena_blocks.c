#include "arena_blocks.h"

#include <string.h>

#include "buffer.h"

enum { BINS = 128, EXACT_BINS = 32, NOTHING = 0 };

/* What a free block holds after its tag: its neighbours in the bin, as units from the start. */
struct links {
    uint32_t next, last;
};

struct kp_ground kp_ground;

static struct {
    size_t used;
    uint32_t bins[BINS];
    uint64_t filled[BINS / 64];
} blocks;

static struct links *links_of(struct kp_tag *t) { return (struct links *)(void *)(t + 1); }

/* Exact sizes first, then four bins for each power of two. */
static unsigned bin_of(uint32_t units)
{
    unsigned log;

    if (units < EXACT_BINS)
        return units;
    log = 31 - (unsigned)__builtin_clz(units);
    return EXACT_BINS + (log - 5) * 4 + (units >> (log - 2) & 3);
}

static void mark(unsigned bin)
{
    if (blocks.bins[bin] == NOTHING)
        blocks.filled[bin / 64] &= ~((uint64_t)1 << bin % 64);
    else
        blocks.filled[bin / 64] |= (uint64_t)1 << bin % 64;
}

/* Unit 0 is the first block's tag and so a valid position: links hold the position plus one. */
static void push(struct kp_tag *t)
{
    unsigned bin = bin_of(t->units);
    struct links *l = links_of(t);

    kp_tag_become(t, KP_FREE);
    kp_tag_seal(t);
    l->next = blocks.bins[bin];
    l->last = NOTHING;
    if (l->next != NOTHING)
        links_of(kp_tag_at(l->next - 1))->last = kp_tag_unit(t) + 1;
    blocks.bins[bin] = kp_tag_unit(t) + 1;
    mark(bin);
}

static void pull(struct kp_tag *t)
{
    unsigned bin = bin_of(t->units);
    struct links *l = links_of(t);

    kp_must(kp_tag_good(t, KP_FREE));
    kp_must(l->next <= kp_ground.units && l->last <= kp_ground.units);
    if (l->next != NOTHING)
        links_of(kp_tag_at(l->next - 1))->last = l->last;
    if (l->last != NOTHING)
        links_of(kp_tag_at(l->last - 1))->next = l->next;
    else
        blocks.bins[bin] = l->next;
    mark(bin);
    l->next = l->last = 0;
}

static void set_before(struct kp_tag *t, uint32_t units)
{
    kp_must(t->check == kp_tag_check(t, t->before));
    t->before = units;
    kp_tag_seal(t);
}

/* Gives back what `t` has beyond `units` as a free block. */
static void split(struct kp_tag *t, uint32_t units)
{
    uint32_t rest = t->units - units;
    struct kp_tag *next = kp_tag_after(t), *spare;

    if (rest < 2)
        return;
    t->units = units;
    spare = kp_tag_after(t);
    spare->units = rest;
    spare->before = units;
    if (next)
        set_before(next, rest);
    push(spare);
}

static struct kp_tag *first_fit(unsigned bin, uint32_t units)
{
    for (uint32_t at = blocks.bins[bin]; at != NOTHING; at = links_of(kp_tag_at(at - 1))->next)
        if (kp_tag_at(at - 1)->units >= units)
            return kp_tag_at(at - 1);
    return NULL;
}

static struct kp_tag *find_free(uint32_t units)
{
    unsigned bin = bin_of(units);
    struct kp_tag *t = first_fit(bin, units);

    for (bin++; !t && bin < BINS; bin++) {
        uint64_t rest = blocks.filled[bin / 64] >> bin % 64;

        if (!rest) {
            bin |= 63;
            continue;
        }
        bin += (unsigned)__builtin_ctzll(rest);
        t = kp_tag_at(blocks.bins[bin] - 1);
    }
    return t;
}

void *kp_blocks_take(uint32_t units)
{
    struct kp_tag *t = find_free(units);

    if (!t)
        return NULL;
    pull(t);
    split(t, units);
    kp_tag_become(t, KP_USED);
    kp_tag_seal(t);
    blocks.used += t->units;
    return t + 1;
}

void kp_blocks_give(struct kp_tag *t)
{
    struct kp_tag *next, *last;

    kp_must(kp_tag_good(t, KP_USED));
    blocks.used -= t->units;
    next = kp_tag_after(t);
    if (next && kp_tag_is(next, KP_FREE)) {
        pull(next);
        t->units += next->units;
        wire_wipe(next, sizeof(*next));
    }
    last = t->before ? kp_tag_at(kp_tag_unit(t) - t->before) : NULL;
    if (last && kp_tag_is(last, KP_FREE)) {
        pull(last);
        last->units += t->units;
        wire_wipe(t, sizeof(*t));
        t = last;
    }
    next = kp_tag_after(t);
    if (next)
        set_before(next, t->units);
    push(t);
}

static bool is_good(const struct kp_tag *t)
{
    return kp_tag_good(t, KP_USED) || kp_tag_good(t, KP_FREE) || kp_tag_good(t, KP_NEAR);
}

bool kp_blocks_check(void)
{
    size_t used = 0;
    uint32_t before = 0;

    for (uint32_t unit = 0; unit < kp_ground.units; unit += before) {
        struct kp_tag *t = kp_tag_at(unit);

        if (!is_good(t) || t->before != before || t->units < 2)
            return false;
        if (kp_tag_is(t, KP_FREE) && before && kp_tag_is(kp_tag_at(unit - before), KP_FREE))
            return false;
        used += kp_tag_is(t, KP_FREE) ? 0 : t->units;
        before = t->units;
    }
    return used == blocks.used;
}

size_t kp_blocks_used(void) { return blocks.used; }

void kp_blocks_open(struct kp_ground ground)
{
    struct kp_tag *t;

    kp_ground = ground;
    memset(&blocks, 0, sizeof(blocks)); /* in the child of a fork, a test opens an arena anew */
    t = kp_tag_at(0);
    t->units = (uint32_t)ground.units;
    push(t);
}
