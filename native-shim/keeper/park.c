#include "park.h"

#include <stdlib.h>

#include "clock.h"
#include "conn.h"
#include "timer.h"

static TAILQ_HEAD(, kp_parked) queue = TAILQ_HEAD_INITIALIZER(queue);
static uint64_t numbers;

int kp_park(struct kp_conn *client, const struct wire_header *request, struct kp_parked **out)
{
    struct kp_parked *p;
    bool slow;

    if (kp.parked_count >= KP_PARKED_MAX || client->parked_count >= KP_PARKED_CLIENT_MAX ||
        client->holder->parked >= KP_PARKED_UID_MAX)
        return STATUS_busy;
    p = calloc(1, sizeof(*p));
    if (!p)
        return STATUS_memory;
    p->id = ++numbers;
    p->client = client->number;
    p->holder = client->holder;
    p->request = *request;
    slow = request->type == WIRE_generate_key_pair || request->type == WIRE_password_key ||
           request->type == WIRE_generate_domain;
    p->deadline = kp_now_ms() + (slow ? WIRE_GENERATE_DEADLINE_MS : WIRE_DEADLINE_MS);
    kp_timer_by(p->deadline);
    TAILQ_INSERT_TAIL(&queue, p, entry);
    kp.parked_count++;
    client->parked_count++;
    client->holder->parked++;
    *out = p;
    return STATUS_ok;
}

/* Numbers ascend along the queue, and most answers are for its older end. */
struct kp_parked *kp_parked_find(uint64_t id)
{
    struct kp_parked *p;

    TAILQ_FOREACH(p, &queue, entry)
        if (p->id >= id)
            return p->id == id ? p : NULL;
    return NULL;
}

struct kp_parked *kp_parked_first(void) { return TAILQ_FIRST(&queue); }
struct kp_parked *kp_parked_next(struct kp_parked *p) { return TAILQ_NEXT(p, entry); }

void kp_parked_take(struct kp_parked *p)
{
    struct kp_conn *client = kp_conn_peek(p->client);

    TAILQ_REMOVE(&queue, p, entry);
    kp.parked_count--;
    p->holder->parked--;
    if (client)
        client->parked_count--;
}

void kp_parked_free(struct kp_parked *p)
{
    kp_frame_free(KP_FRAMES_PARKED, p->body, p->length);
    kp_frame_free(KP_FRAMES_PARKED, p->material, p->material_length);
    wire_wipe(p, sizeof(*p));
    free(p);
}

void kp_parked_answer(struct kp_parked *p, int status)
{
    struct kp_conn *client = kp_conn_peek(p->client);

    kp_parked_take(p);
    if (client)
        kp_conn_reply(client, p->slot, &p->request, status);
    kp_parked_free(p);
}

void kp_parked_drop_client(uint64_t client)
{
    struct kp_parked *p, *next;

    for (p = TAILQ_FIRST(&queue); p; p = next) {
        next = TAILQ_NEXT(p, entry);
        if (p->client == client) {
            kp_parked_take(p);
            kp_parked_free(p);
        }
    }
}

uint64_t kp_park_expire(uint64_t now_ms)
{
    struct kp_parked *p, *next;
    uint64_t earliest = 0;

    for (p = TAILQ_FIRST(&queue); p; p = next) {
        next = TAILQ_NEXT(p, entry);
        if (p->deadline <= now_ms)
            kp_parked_answer(p, p->sent ? STATUS_deadline : STATUS_agent_absent);
        else if (!earliest || p->deadline < earliest)
            earliest = p->deadline;
    }
    return earliest;
}
