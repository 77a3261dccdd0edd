/* Bytes as mechanism parameters of each layout, and as a template. */
#include <stdlib.h>

#include "params.h"
#include "template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written, and reads the same. */
static void round_trip(enum wire_layout layout, const struct wire_params *p)
{
    static uint8_t out[2 * WIRE_PARAMS_MAX];
    struct wire_params again;
    struct wire_writer w;

    wire_writer_init(&w, out, sizeof(out));
    wire_params_write(layout, p, &w);
    if (w.full)
        return;
    if (!wire_params_fit(layout, p) || !wire_params_read(layout, (struct wire_bytes){out, wire_written(&w)}, &again) || again.iv.length != p->iv.length ||
        again.aad.length != p->aad.length || again.bits != p->bits)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_params p;
    struct wire_template t;
    struct wire_reader r;

    if (size == 0)
        return 0;
    if (data[0] < WIRE_LAYOUTS && wire_params_read(data[0], (struct wire_bytes){data + 1, size - 1}, &p))
        round_trip(data[0], &p);
    wire_reader_init(&r, data + 1, size - 1);
    wire_read_template(&r, &t);
    for (uint32_t i = 0; i < t.count; i++)
        if (t.at[i].value.length > size)
            abort();
    return 0;
}
