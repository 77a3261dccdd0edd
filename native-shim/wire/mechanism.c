#include "mechanism.h"

#include "cryptoki.h"

const struct wire_mechanism wire_mechanisms[] = {
#define MECHANISM(type, layout, key_type, flags, min, max, engine, algorithm, standing)                                        \
    {type, #type, LAYOUT_##layout, key_type, flags, min, max, ENGINE_##engine, algorithm, STANDING_##standing},
#include "mechanisms.def"
#undef MECHANISM
};

const size_t wire_mechanisms_count = sizeof(wire_mechanisms) / sizeof(wire_mechanisms[0]);

const struct wire_mechanism *wire_mechanism_find(uint64_t type)
{
    for (size_t i = 0; i < wire_mechanisms_count; i++)
        if (wire_mechanisms[i].type == type)
            return &wire_mechanisms[i];
    return NULL;
}
