#include "mechanism.h"

#include <stdatomic.h>

#include "cryptoki.h"

const struct wire_mechanism wire_mechanisms[] = {
#define MECHANISM(type, layout, key_type, flags, min, max, engine, algorithm, standing)                                        \
    {type, #type, LAYOUT_##layout, key_type, flags, min, max, ENGINE_##engine, algorithm, STANDING_##standing},
#include "mechanisms.def"
#undef MECHANISM
};

const size_t wire_mechanisms_count = sizeof(wire_mechanisms) / sizeof(wire_mechanisms[0]);

/* Where a mechanism was found, from 1: a hint, as good as the row that it leads to. */
enum { HINTS = 512 };
static _Atomic uint16_t hints[HINTS];

static unsigned hint_of(uint64_t type) { return (unsigned)((type * 0x9e3779b97f4a7c15u) >> 55); }

const struct wire_mechanism *wire_mechanism_find(uint64_t type)
{
    _Atomic uint16_t *hint = &hints[hint_of(type)];
    size_t seen = atomic_load_explicit(hint, memory_order_relaxed);

    if (seen && wire_mechanisms[seen - 1].type == type)
        return &wire_mechanisms[seen - 1];
    for (size_t i = 0; i < wire_mechanisms_count; i++)
        if (wire_mechanisms[i].type == type) {
            atomic_store_explicit(hint, (uint16_t)(i + 1), memory_order_relaxed);
            return &wire_mechanisms[i];
        }
    return NULL;
}
