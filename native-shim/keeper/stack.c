#include "stack.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"

void *kp_stack_new(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE); /* 4 KiB, and on arm64 also 16 or 64 */
    char *block = kp_alloc(size + 2 * page), *guard;

    if (!block) {
        errno = ENOMEM;
        return NULL;
    }
    guard = block + (page - (uintptr_t)block % page); /* the tag before the block stays accessible */
    return mprotect(guard, page, PROT_NONE) == 0 ? guard + page : NULL;
}
