#include "answers.h"

#include "link.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEPT = 256,              /* answers */
    KEPT_BYTES = 512 * 1024, /* all together, questions included */
    ONE_MAX = 8192,          /* one, its question included */
    SLOT_BYTES = 8,          /* of a place; what follows, to its end, is the session's */
    PLACE_BYTES = 17
};

struct answer {
    struct sk_moment moment;
    uint16_t type;
    size_t asked, length; /* bytes of the question, and of the answer behind it */
    uint8_t *bytes;       /* NULL: none */
};

struct sk_answers {
    pthread_mutex_t lock;
    atomic_ullong era;
    size_t bytes;
    struct answer rows[KEPT];
};

struct sk_answers *sk_answers_new(void)
{
    struct sk_answers *all = calloc(1, sizeof(*all));

    if (all)
        pthread_mutex_init(&all->lock, NULL);
    return all;
}

static void drop(struct sk_answers *all, struct answer *a)
{
    if (!a->bytes)
        return;
    all->bytes -= a->asked + a->length;
    free(a->bytes);
    *a = (struct answer){0};
}

void sk_answers_free(struct sk_answers *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < KEPT; i++)
        drop(all, &all->rows[i]);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

void sk_answers_forget(struct sk_answers *all) { atomic_fetch_add(&all->era, 1); }

bool sk_answers_now(struct sk_answers *all, struct sk_link *l, struct sk_moment *out)
{
    out->era = atomic_load(&all->era);
    return sk_ring_alive(l, &out->generation, &out->epoch);
}

static bool same_moment(const struct sk_moment *a, const struct sk_moment *b)
{
    return a->generation == b->generation && a->epoch == b->epoch && a->era == b->era;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static bool same_question(const struct answer *a, const struct sk_question *q)
{
    const size_t slot = least(SLOT_BYTES, q->length), rest = least(PLACE_BYTES, q->length);

    return a->bytes && a->type == q->type && a->asked == q->length && memcmp(a->bytes, q->body, slot) == 0 &&
           memcmp(a->bytes + rest, q->body + rest, q->length - rest) == 0;
}

static uint64_t mix(uint64_t hash, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/* One row for each question: what shares a row takes turns. */
static struct answer *row_of(struct sk_answers *all, const struct sk_question *q)
{
    const size_t slot = least(SLOT_BYTES, q->length), rest = least(PLACE_BYTES, q->length);
    uint64_t hash = mix(q->type, q->body, slot);

    hash = mix(hash, q->body + rest, q->length - rest);
    return &all->rows[(hash * 0x9e3779b97f4a7c15u >> 32) % KEPT];
}

uint8_t *sk_answers_recall(struct sk_answers *all, const struct sk_moment *now, const struct sk_question *q, size_t *length)
{
    const struct answer *a;
    uint8_t *copy = NULL;

    pthread_mutex_lock(&all->lock);
    a = row_of(all, q);
    if (same_question(a, q) && same_moment(&a->moment, now) && (copy = malloc(a->length))) {
        memcpy(copy, a->bytes + a->asked, a->length);
        *length = a->length;
    }
    pthread_mutex_unlock(&all->lock);
    return copy;
}

/* What is void goes first, then everything. */
static bool make_room(struct sk_answers *all, const struct sk_moment *asked, size_t wanted)
{
    for (size_t i = 0; i < KEPT && all->bytes + wanted > KEPT_BYTES; i++)
        if (!same_moment(&all->rows[i].moment, asked))
            drop(all, &all->rows[i]);
    for (size_t i = 0; i < KEPT && all->bytes + wanted > KEPT_BYTES; i++)
        drop(all, &all->rows[i]);
    return all->bytes + wanted <= KEPT_BYTES;
}

static void put(struct sk_answers *all, struct answer *a, const struct sk_moment *asked, const struct sk_question *q,
                const uint8_t *answer, size_t length)
{
    const size_t whole = q->length + length;

    drop(all, a);
    if (!make_room(all, asked, whole) || !(a->bytes = malloc(whole)))
        return;
    memcpy(a->bytes, q->body, q->length);
    memcpy(a->bytes + q->length, answer, length);
    a->moment = *asked;
    a->type = q->type;
    a->asked = q->length;
    a->length = length;
    all->bytes += whole;
}

void sk_answers_keep(struct sk_answers *all, const struct sk_moment *asked, const struct sk_question *q, const uint8_t *answer,
                     size_t length)
{
    struct answer *a;

    pthread_mutex_lock(&all->lock);
    a = row_of(all, q);
    if (length && q->length + length <= ONE_MAX)
        put(all, a, asked, q, answer, length);
    else if (same_question(a, q))
        drop(all, a); /* the older answer is none either */
    pthread_mutex_unlock(&all->lock);
}
