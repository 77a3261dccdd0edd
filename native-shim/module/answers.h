/*
 * Answers about objects that the agent let this process keep: ARCHITECTURE.md, "Answers that are kept". An answer is given
 * again only at the moment for which it holds, which is noted before its question is asked. Nothing here is secret: what
 * is, the agent lets nobody keep.
 */
#ifndef SIDEKEY_MODULE_ANSWERS_H
#define SIDEKEY_MODULE_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sk_link;
struct sk_answers;

/* One connection, its epoch, and what this process has changed itself. */
struct sk_moment {
    uint64_t generation, epoch, era;
};

/* A request as it is asked, place first if it has one: whose session asks makes no difference. */
struct sk_question {
    uint16_t type;
    const uint8_t *body;
    size_t length;
};

struct sk_answers *sk_answers_new(void);
void sk_answers_free(struct sk_answers *all);

/* What holds now. False: nothing may be kept, for there is no ring that would tell of changes. */
bool sk_answers_now(struct sk_answers *all, struct sk_link *l, struct sk_moment *out);

/* A copy, the caller's to free; NULL: it is not known for this moment, or there is no memory. */
uint8_t *sk_answers_recall(struct sk_answers *all, const struct sk_moment *now, const struct sk_question *q, size_t *length);

/* Keeps an answer to what was asked at that moment, if it has room. */
void sk_answers_keep(struct sk_answers *all, const struct sk_moment *asked, const struct sk_question *q, const uint8_t *answer,
                     size_t length);

/* This process has changed something, or may have: after the answer, before anybody learns of it. */
void sk_answers_forget(struct sk_answers *all);

#endif
