/*
 * Bytes as what a process asks, is answered and does, against the answers that its module keeps (module/answers.h): each is beside
 * a model that keeps everything. An answer is given again whole, for its own question and at its own moment, or not at all.
 */
#include "../../native-shim/module/answers.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 4, TYPES = 2, TAILS = 8, QUESTIONS = SLOTS * TYPES * TAILS, PLACE = 17, LONGEST = PLACE + 3 * TAILS, ANSWER_MAX = 9000 };

struct known {
    bool kept;
    struct sk_moment moment;
    uint8_t fill;
    size_t length;
};

struct input {
    const uint8_t *at, *end;
};

static uint8_t next(struct input *in) { return in->at < in->end ? *in->at++ : 0; }

/* Whose session asks is the input's, and makes no difference; what is asked is one of QUESTIONS. The last of the tails stands for
 * questions without a place: as many bytes as the slot says, or none. */
static struct sk_question ask(struct input *in, uint8_t which, uint8_t body[LONGEST])
{
    const uint8_t slot = which % SLOTS, type = which / SLOTS % TYPES, tail = which / SLOTS / TYPES % TAILS;

    memset(body, next(in), LONGEST);
    memset(body, 0, 8);
    body[0] = slot;
    if (tail == TAILS - 1)
        return (struct sk_question){(uint16_t)(20 + type), body, slot};
    memset(body + PLACE, 0x40 + tail, 3 * (size_t)tail);
    return (struct sk_question){(uint16_t)(20 + type), body, PLACE + 3 * (size_t)tail};
}

static bool at_once(const struct sk_moment *a, const struct sk_moment *b)
{
    return a->generation == b->generation && a->epoch == b->epoch && a->era == b->era;
}

static void keep(struct sk_answers *all, const struct sk_moment *now, struct input *in, struct known model[QUESTIONS])
{
    static uint8_t answer[ANSWER_MAX];
    const uint8_t which = next(in) % QUESTIONS;
    uint8_t body[LONGEST];
    const struct sk_question q = ask(in, which, body);
    struct known k = {true, *now, next(in), (size_t)(next(in) << 8 | next(in)) % (ANSWER_MAX + 1)};

    memset(answer, k.fill, k.length);
    sk_answers_keep(all, now, &q, answer, k.length);
    k.kept = k.length != 0;
    model[which] = k;
}

static void recall(struct sk_answers *all, const struct sk_moment *now, struct input *in, const struct known model[QUESTIONS])
{
    const uint8_t which = next(in) % QUESTIONS;
    const struct known *k = &model[which];
    uint8_t body[LONGEST], *found;
    const struct sk_question q = ask(in, which, body);
    size_t length = 0;

    found = sk_answers_recall(all, now, &q, &length);
    if (found && (!k->kept || !at_once(&k->moment, now) || k->length != length))
        abort();
    for (size_t i = 0; found && i < length; i++)
        if (found[i] != k->fill)
            abort();
    free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct known model[QUESTIONS] = {{0}};
    struct input in = {data, data + size};
    struct sk_answers *all = sk_answers_new();
    struct sk_moment now = {1, 1, 0};

    while (all && in.at < in.end)
        switch (next(&in) % 6) {
        case 0:
            keep(all, &now, &in, model);
            break;
        case 2:
            now.epoch = next(&in) % 3;
            break;
        case 3:
            now.era = next(&in) % 3;
            break;
        case 4:
            now.generation = next(&in) % 3;
            break;
        default:
            recall(all, &now, &in, model);
        }
    sk_answers_free(all);
    return 0;
}
