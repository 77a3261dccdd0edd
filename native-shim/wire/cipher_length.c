#include "cipher_length.h"

#include "cryptoki.h"

size_t wire_block_bytes(const struct wire_mechanism *m)
{
    return m->key_type == CKK_DES3 || m->key_type == CKK_DES ? 8 : WIRE_BLOCK_BYTES;
}

uint64_t wire_counter_room(const uint8_t *block, uint32_t bits)
{
    unsigned __int128 counter = 0, room;

    for (size_t i = 0; i < WIRE_BLOCK_BYTES; i++)
        counter = counter << 8 | block[i];
    if (bits < 128)
        counter &= ((unsigned __int128)1 << bits) - 1;
    room = bits < 128 ? ((unsigned __int128)1 << bits) - counter : -counter;
    return room == 0 || room > UINT64_MAX ? UINT64_MAX : (uint64_t)room;
}
