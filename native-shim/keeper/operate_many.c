/* cell_operate_many: operations of the agent's that came in one frame, each as if it had come alone. */
#include "clock.h"
#include "handle.h"
#include "template.h"

enum {
    FLAGS_AT = 8,      /* in the body of a cell_operate: after the cell */
    OUTPUT_MORE = 1024 /* what an item's output may be longer than its data */
};

/* Reads all items before any is done: a frame that breaks the format does nothing. */
static bool read_items(struct wire_reader *r, struct wire_bytes items[WIRE_MANY_MAX], uint32_t *count)
{
    *count = wire_read_u32(r);
    if (*count == 0 || *count > WIRE_MANY_MAX)
        return false;
    for (uint32_t i = 0; i < *count; i++)
        items[i] = wire_read_bytes(r, WIRE_BODY_MAX);
    return wire_reader_done(r);
}

/* Only what is done at once: a multi-part operation has its own frames. */
static int operate(const struct kp_request *many, struct wire_bytes item)
{
    struct kp_request r = *many;

    if (item.length <= FLAGS_AT || item.data[FLAGS_AT] != (WIRE_BEGIN | WIRE_FINAL))
        return STATUS_function_not_supported;
    r.lasting = NULL;
    r.straight.to = NULL; /* it is the frame's place, not the item's */
    wire_reader_init(&r.body, item.data, item.length);
    return kp_on_cell_operate(&r);
}

/* What a failed operation wrote is taken back, and wiped: it may be a plaintext whose tag was bad. */
static void take_back(struct wire_writer *w, size_t mark)
{
    size_t room = (size_t)(w->end - w->start), dirty = wire_written(w) + 64;

    wire_wipe(w->start + mark, (dirty < room ? dirty : room) - mark);
    w->at = w->start + mark;
    w->full = false;
}

static void answer_item(struct kp_request *r, struct wire_bytes item)
{
    size_t mark = wire_written(r->reply);
    int status;

    wire_write_u32(r->reply, STATUS_ok);
    status = operate(r, item);
    if (status == STATUS_ok && r->reply->full)
        status = STATUS_memory;
    if (status == STATUS_ok)
        return;
    take_back(r->reply, mark);
    wire_write_u32(r->reply, (uint32_t)status);
}

static bool has_room(const struct wire_writer *w, struct wire_bytes item)
{
    return (size_t)(w->end - w->at) >= item.length + OUTPUT_MORE;
}

int kp_on_cell_operate_many(struct kp_request *r)
{
    struct wire_bytes items[WIRE_MANY_MAX];
    uint64_t until = kp_now_us() + WIRE_MANY_TURN_US;
    uint32_t count, done = 0;
    size_t mark;

    if (!read_items(&r->body, items, &count))
        return STATUS_wire_malformed;
    mark = wire_begin_template(r->reply);
    do
        answer_item(r, items[done++]);
    while (done < count && has_room(r->reply, items[done]) && kp_now_us() < until);
    wire_end_template(r->reply, mark, done);
    return STATUS_ok;
}
