/* Leases, with the clock handed in: by time, by uses, and what ends with them. */
#include "binding.h"
#include "cell.h"
#include "conn.h"
#include "cryptoki.h"
#include "keeper_tap.h"
#include "operation.h"

static struct kp_cell *cell(uint64_t owner, uint64_t lease_ms, uint64_t uses, uint64_t now)
{
    static const uint8_t bytes[32] = {1};
    struct kp_new_cell wanted = {.owner = owner, .lease_ms = lease_ms, .uses = uses};
    struct kp_key *key = NULL;
    struct kp_cell *out = NULL;

    if (kp_key_secret(CKK_AES, bytes, sizeof(bytes), &key) != STATUS_ok)
        return NULL;
    kp_cell_new(&wanted, key, now, &out);
    return out;
}

static bool bind(struct kp_conn *client, struct kp_cell *c, uint64_t handle)
{
    struct kp_binding b = {.slot = 1, .handle = handle, .operations = 2};

    return kp_binding_set(client, c, &b, NULL) == STATUS_ok;
}

static void by_time(struct kp_conn *client)
{
    struct kp_cell *c = cell(0, 1000, 0, 5000), *other;
    uint64_t id = c->id, epoch = client->epoch;
    struct kp_operation *o;

    bind(client, c, 7);
    ok(kp_binding_find(client, 1, 7, 5999) != NULL, "a binding is good until the last millisecond of the lease");
    ok(kp_operation_new(client, 1, c, &o) == STATUS_ok, "an operation begins in time");
    kp_operation_return(o, true);
    ok(kp_operation_take(client, 1, 6000, &o) == STATUS_operation_lost, "and is lost when the lease is over");
    ok(kp_binding_find(client, 1, 7, 6000) == NULL && client->epoch > epoch, "the binding is gone, and the epoch tells");
    ok(kp_cell_find(id, 5999) == NULL, "a cell that ended does not come back with the clock");
    other = cell(0, 0, 0, 6000);
    ok(other->id != id, "nor does its number");
    kp_cell_end(other, KP_ENDED_SILENTLY);
    c = cell(0, 1000, 0, 5000);
    id = c->id;
    other = cell(0, 3000, 0, 5000);
    ok(kp_cell_expire(6000) == 8000 && kp_cell_find(id, 5000) == NULL, "the timer ends what is over and names the next");
    kp_cell_end(other, KP_ENDED_SILENTLY);
    ok(cell(0, UINT64_MAX, 0, 5000) != NULL && kp_cell_expire(UINT64_MAX / 2) == 0, "a lease without end does not wrap");
}

static void by_uses(struct kp_conn *client)
{
    struct kp_cell *c = cell(0, 0, 2, 0);
    struct kp_operation *o;
    uint64_t id = c->id;

    bind(client, c, 8);
    kp_cell_used(c);
    ok(kp_binding_find(client, 1, 8, 0) != NULL, "a lease of two uses is good after one");
    kp_operation_new(client, 2, c, &o);
    kp_cell_used(c);
    ok(kp_binding_find(client, 1, 8, 0) == NULL, "and bound to nobody after the second");
    kp_operation_return(o, true);
    ok(kp_operation_take(client, 2, 0, &o) == STATUS_ok, "whose own parts go on");
    kp_operation_return(o, false);
    ok(kp_cell_find(id, 0) == NULL, "until its end, which is the cell's");
}

static void by_owner(struct kp_conn *client)
{
    struct kp_cell *c = cell(client->number, 0, 0, 0);
    uint64_t id = c->id;
    size_t before = kp_arena_used();

    ok(kp_cell_new(&(struct kp_new_cell){.owner = 1}, NULL, 0, &c) == STATUS_arguments_bad, "an owner must be there");
    kp_conn_close(client);
    ok(kp_cell_find(id, 0) == NULL && kp_arena_used() < before, "a client's cells end with it");
}

static void fill(void)
{
    unsigned made = 0;

    while (made <= KP_CELLS_MAX && cell(0, 0, 0, 0))
        made++;
    ok(made > 4000 && made <= KP_CELLS_MAX, "cells are bounded, and their number fits the arena");
}

int main(void)
{
    struct kp_peer peer = {.uid = 1000};
    struct kp_conn *client;

    if (!ok(open_crypto(), "the keeper's memory and OpenSSL start"))
        return done();
    kp_state_open(4, 0);
    client = kp_conn_new(KP_CLIENT, -1, &peer);
    by_time(client);
    by_uses(client);
    by_owner(client);
    ok(kp_conn_new(KP_CLIENT, -1, &peer) && kp_conn_new(KP_CLIENT, -1, &peer) && kp_conn_new(KP_CLIENT, -1, &peer) &&
           !kp_conn_new(KP_CLIENT, -1, &peer),
       "one uid gets three quarters of the places");
    peer.uid = 1001;
    ok(kp_conn_new(KP_CLIENT, -1, &peer) && !kp_conn_new(KP_CLIENT, -1, &peer), "and another the rest");
    fill();
    return done();
}
