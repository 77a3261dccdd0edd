/*
 * Bytes as frames of a client and of an agent, to the keeper's own dispatch, without sockets. Each frame is: who (bit 0),
 * message number, body length (u16), body. The agent's first cells have the numbers that seeds name.
 */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cell.h"
#include "conn.h"
#include "crypto.h"
#include "handle.h"
#include "timer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *out;

static void open_once(void)
{
    if (out)
        return;
    if (kp_arena_open(false) != 0 || kp_crypto_open() != 0)
        abort();
    kp_state_open(16, 0);
    out = kp_alloc(WIRE_HEADER_BYTES + WIRE_BODY_MAX);
}

static void send(struct kp_conn *from, uint16_t type, uint64_t id, const uint8_t *body, size_t length)
{
    struct wire_header h = {.length = (uint32_t)length, .type = type, .id = id};
    static uint8_t *copy;

    /* RSA keys take a tenth of a second to make: not here. */
    if (from->gone || type == WIRE_cell_generate)
        return;
    copy = malloc(length + 1); /* of its own, so that a read past its end shows */
    memcpy(copy, body, length);
    kp_handle(from, &h, (struct wire_bytes){copy, length}, out);
    free(copy);
}

static void greet(struct kp_conn *conn, uint16_t type)
{
    static const uint8_t hello[] = {WIRE_VERSION, 0, 0, 0, 0, 0, 0, 0};

    send(conn, type, 0, hello, sizeof(hello));
}

static struct kp_conn *take(enum kp_kind kind)
{
    struct kp_peer peer = {.pid = 1, .uid = 0};
    struct kp_conn *conn = kp_conn_new(kind, -1, &peer);

    return conn ? kp_conn_take(conn->number) : NULL;
}

static void end(struct kp_conn *conn)
{
    kp_conn_close(conn);
    kp_conn_drop(conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_conn *client, *agent;
    uint64_t id = 0;

    open_once();
    client = take(KP_CLIENT);
    agent = take(KP_AGENT);
    if (!client || !agent)
        abort();
    greet(client, WIRE_hello);
    greet(agent, WIRE_attach);
    while (size >= 4) {
        size_t length = (size_t)data[2] | (size_t)data[3] << 8;
        uint16_t type = data[1];

        length = length < size - 4 ? length : size - 4;
        if (data[0] & 2)
            type |= WIRE_REPLY;
        send(data[0] & 1 ? agent : client, type, ++id, data + 4, length);
        data += 4 + length;
        size -= 4 + length;
    }
    end(client);
    end(agent);
    kp_lock();
    for (unsigned i = 0; i < KP_CELLS_MAX; i++)
        if (kp.cells[i])
            kp_cell_end(kp.cells[i], KP_ENDED_SILENTLY);
    if (kp.parked_count || kp.clients || kp.binding_count)
        abort();
    memset(kp.generations, 0, sizeof(kp.generations)); /* a run does not depend on those before */
    kp.connections = 0;
    kp_unlock();
    kp_expire(UINT64_MAX / 2);
    if (!kp_arena_check())
        abort();
    return 0;
}
