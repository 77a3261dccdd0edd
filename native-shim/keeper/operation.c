#include "operation.h"

#include <stdlib.h>

#include "cell.h"
#include "route.h"

/* Out of both lists. If a thread is working on it, that thread frees it afterwards. */
static void detach(struct kp_operation *o, struct kp_conn *client)
{
    LIST_REMOVE(o, of_client);
    if (o->cell)
        LIST_REMOVE(o, of_cell);
    o->cell = NULL;
    client->operation_count--;
    o->dead = true;
}

static void release(struct kp_operation *o)
{
    kp_event_use_ended(&o->leave, o->outcome);
    kp_op_end(&o->op);
    free(o);
}

static void drop(struct kp_operation *o, struct kp_conn *client)
{
    bool busy = o->busy;

    detach(o, client);
    if (!busy)
        release(o);
}

static struct kp_operation *find(struct kp_conn *client, uint64_t number)
{
    struct kp_operation *o;

    LIST_FOREACH(o, &client->operations, of_client)
        if (o->number == number)
            return o;
    return NULL;
}

int kp_operation_new(struct kp_conn *client, uint64_t number, struct kp_cell *cell, struct kp_operation **out)
{
    struct kp_operation *o;

    kp_operation_drop(client, number);
    if (client->operation_count >= KP_OPERATIONS_MAX)
        return STATUS_busy;
    o = calloc(1, sizeof(*o));
    if (!o)
        return STATUS_memory;
    o->number = number;
    o->client = client;
    o->cell = cell;
    o->needs_cell = cell != NULL;
    o->busy = true;
    LIST_INSERT_HEAD(&client->operations, o, of_client);
    if (cell)
        LIST_INSERT_HEAD(&cell->operations, o, of_cell);
    client->operation_count++;
    *out = o;
    return STATUS_ok;
}

int kp_operation_take(struct kp_conn *client, uint64_t number, uint64_t now_ms, struct kp_operation **out)
{
    struct kp_operation *o = find(client, number);

    if (!o)
        return STATUS_operation_lost;
    if (o->busy)
        return STATUS_busy;
    /* A lease that is over ends the cell, and that this operation: it is gone after the look. */
    if (o->needs_cell && (!o->cell || !kp_cell_find(o->cell->id, now_ms)))
        return STATUS_operation_lost;
    o->busy = true;
    *out = o;
    return STATUS_ok;
}

void kp_operation_return(struct kp_operation *o, bool more)
{
    struct kp_cell *cell = o->cell;

    o->busy = false;
    if (!o->dead && more)
        return;
    if (!o->dead)
        detach(o, o->client);
    release(o);
    if (cell)
        kp_cell_settle(cell);
}

void kp_operation_drop(struct kp_conn *client, uint64_t number)
{
    struct kp_operation *o = find(client, number);

    if (o)
        drop(o, client);
}

void kp_operations_drop_client(struct kp_conn *client)
{
    while (!LIST_EMPTY(&client->operations))
        drop(LIST_FIRST(&client->operations), client);
}

void kp_operations_drop_cell(struct kp_cell *cell)
{
    while (!LIST_EMPTY(&cell->operations)) {
        struct kp_operation *o = LIST_FIRST(&cell->operations);

        drop(o, o->client);
    }
}
