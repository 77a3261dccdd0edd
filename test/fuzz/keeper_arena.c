/* Bytes as steps of the allocator: which block, and how large it is to be. The tags must check after every run. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

enum { BLOCKS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void *block[BLOCKS];
    static int opened;

    if (!opened++ && kp_arena_open(false) != 0)
        abort();
    for (size_t i = 0; i + 2 < size; i += 3) {
        void **at = &block[data[i] % BLOCKS];
        size_t wanted = (size_t)data[i + 1] << (data[i + 2] % 16);
        void *moved;

        if (data[i] < 128) {
            kp_free(*at);
            *at = NULL;
        } else if ((moved = kp_realloc(*at, wanted))) {
            memset(moved, 0xee, wanted);
            *at = moved;
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        kp_free(block[i]);
        block[i] = NULL;
    }
    if (!kp_arena_check() || kp_arena_used() != 0)
        abort();
    return 0;
}
