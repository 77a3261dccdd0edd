#include "usage.h"

#include "log.h"

enum { ROWS = 8192, PROBES = 16, ROW_BYTES = 8 + 4 + 8 + 8 + 1 + 8 + 8 };

static struct row {
    uint64_t client, slot, handle, times, bytes;
    uid_t uid;
    uint8_t operation;
} rows[ROWS];
static bool told;

static bool same(const struct row *a, const struct row *b)
{
    return a->client == b->client && a->slot == b->slot && a->handle == b->handle && a->operation == b->operation;
}

static struct row *find(const struct row *key)
{
    uint64_t hash = (key->client * 31 + key->slot * 17 + key->handle * 7 + key->operation) * 0x9e3779b97f4a7c15u;

    for (uint32_t i = 0; i < PROBES; i++) {
        struct row *row = &rows[((hash >> 40) + i) % ROWS];

        if (row->times == 0) {
            *row = *key;
            return row;
        }
        if (same(row, key))
            return row;
    }
    return NULL;
}

void kp_usage_count(const struct kp_conn *client, uint64_t slot, uint64_t handle, uint8_t operation, uint64_t bytes)
{
    struct row key = {.client = client->number, .slot = slot, .handle = handle, .uid = client->peer.uid,
                      .operation = operation};
    struct row *row = find(&key);

    if (!row && handle) {
        key.handle = 0;
        row = find(&key);
    }
    if (row) {
        row->times++;
        row->bytes += bytes;
    } else if (!told) {
        told = true;
        kp_log("error", "usage_full", "%s", "");
    }
}

uint32_t kp_usage_take(struct wire_writer *w, bool *more)
{
    uint32_t count = 0;

    *more = false;
    told = false;
    for (uint32_t i = 0; i < ROWS; i++) {
        struct row *row = &rows[i];

        if (row->times == 0)
            continue;
        if ((size_t)(w->end - w->at) < ROW_BYTES + 1) {
            *more = true;
            break;
        }
        wire_write_u64(w, row->client);
        wire_write_u32(w, row->uid);
        wire_write_u64(w, row->slot);
        wire_write_u64(w, row->handle);
        wire_write_u8(w, row->operation);
        wire_write_u64(w, row->times);
        wire_write_u64(w, row->bytes);
        *row = (struct row){0};
        count++;
    }
    return count;
}
