#include "binding.h"

#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "ring.h"

static unsigned bucket_of(uint64_t slot, uint64_t handle)
{
    return (unsigned)(((slot * 31 + handle) * 0x9e3779b97f4a7c15u) >> 58) % KP_BUCKETS;
}

static void new_epoch(struct kp_conn *client)
{
    uint64_t epoch = atomic_fetch_add(&client->epoch, 1) + 1;
    struct kp_ring *ring = atomic_load(&client->ring);

    client->asked = false;
    if (ring)
        kp_ring_set_epoch(ring, epoch);
}

static void drop(struct kp_binding *b)
{
    LIST_REMOVE(b, of_client);
    LIST_REMOVE(b, of_cell);
    b->client->binding_count--;
    kp.binding_count--;
    new_epoch(b->client);
    free(b);
}

static struct kp_binding *find(struct kp_conn *client, uint64_t slot, uint64_t handle)
{
    struct kp_binding *b;

    LIST_FOREACH(b, &client->bindings[bucket_of(slot, handle)], of_client)
        if (b->slot == slot && b->handle == handle)
            return b;
    return NULL;
}

static void make_room(struct kp_conn *client)
{
    for (unsigned i = 0; i < KP_BUCKETS && client->binding_count >= KP_BINDINGS_MAX; i++)
        if (!LIST_EMPTY(&client->bindings[i]))
            drop(LIST_FIRST(&client->bindings[i]));
}

int kp_binding_set(struct kp_conn *client, struct kp_cell *cell, const struct kp_binding *wanted,
                   const uint64_t *mechanisms)
{
    struct kp_binding *old = find(client, wanted->slot, wanted->handle);
    struct kp_binding *b = malloc(sizeof(*b) + wanted->count * sizeof(b->mechanisms[0]));

    if (!b)
        return STATUS_memory;
    if (old)
        drop(old);
    make_room(client);
    *b = *wanted;
    if (wanted->count)
        memcpy(b->mechanisms, mechanisms, wanted->count * sizeof(b->mechanisms[0]));
    b->client = client;
    b->cell = cell;
    LIST_INSERT_HEAD(&client->bindings[bucket_of(b->slot, b->handle)], b, of_client);
    LIST_INSERT_HEAD(&cell->bindings, b, of_cell);
    client->binding_count++;
    kp.binding_count++;
    return STATUS_ok;
}

struct kp_binding *kp_binding_find(struct kp_conn *client, uint64_t slot, uint64_t handle, uint64_t now_ms)
{
    struct kp_binding *b = find(client, slot, handle);

    return b && kp_cell_find(b->cell->id, now_ms) ? b : NULL;
}

bool kp_binding_allows(const struct kp_binding *b, uint64_t mechanism)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (b->mechanisms[i] == mechanism)
            return true;
    return b->count == 0;
}

void kp_bindings_drop(struct kp_conn *client, uint64_t slot, uint64_t handle)
{
    for (unsigned i = 0; i < KP_BUCKETS; i++) {
        struct kp_binding *b = LIST_FIRST(&client->bindings[i]), *next;

        for (; b; b = next) {
            next = LIST_NEXT(b, of_client);
            if (b->slot == slot && (handle == 0 || b->handle == handle))
                drop(b);
        }
    }
}

void kp_bindings_drop_client(struct kp_conn *client)
{
    for (unsigned i = 0; i < KP_BUCKETS; i++)
        while (!LIST_EMPTY(&client->bindings[i]))
            drop(LIST_FIRST(&client->bindings[i]));
}

void kp_bindings_drop_cell(struct kp_cell *cell)
{
    while (!LIST_EMPTY(&cell->bindings))
        drop(LIST_FIRST(&cell->bindings));
}

void kp_answers_void(struct kp_conn *client)
{
    if (client->asked)
        new_epoch(client);
}
