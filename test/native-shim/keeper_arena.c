/* The locked memory: what is taken is zero, what is given back is wiped, and no order of both breaks a tag. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper_tap.h"

enum { BLOCKS = 512, ROUNDS = 200000 };

static unsigned char *block[BLOCKS];
static size_t size[BLOCKS];

static bool is_all(const unsigned char *at, size_t length, unsigned char value)
{
    for (size_t i = 0; i < length; i++)
        if (at[i] != value)
            return false;
    return true;
}

static size_t some_size(void)
{
    return rand() % 50 == 0 ? (size_t)(rand() % 60000) : (size_t)(rand() % 300);
}

/* Each block is filled with its own byte; a neighbour that writes into it shows. */
static bool step(int i)
{
    unsigned char mine = (unsigned char)(i | 1);
    size_t wanted = some_size(), kept;
    unsigned char *moved;

    if (block[i] && !is_all(block[i], size[i], mine))
        return false;
    if (block[i] && rand() % 3 == 0) {
        moved = kp_realloc(block[i], wanted);
        if (!moved)
            return true;
        kept = wanted < size[i] ? wanted : size[i];
        if (!is_all(moved, kept, mine))
            return false;
        block[i] = moved;
        size[i] = wanted;
        memset(moved, mine, wanted);
        return true;
    }
    if (block[i]) {
        kp_free(block[i]);
        block[i] = NULL;
        return true;
    }
    block[i] = kp_alloc(wanted);
    size[i] = wanted;
    if (block[i] && !is_all(block[i], wanted, 0))
        return false;
    if (block[i])
        memset(block[i], mine, wanted);
    return true;
}

static bool stress(void)
{
    for (int i = 0; i < ROUNDS; i++)
        if (!step(rand() % BLOCKS) || (i % 5000 == 0 && !kp_arena_check()))
            return false;
    return true;
}

/* A child does the forbidden thing: it must die by its own hand. */
static bool ends_the_process(void (*act)(unsigned char *))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        unsigned char *at;

        if (kp_arena_open(false) != 0) /* an arena of its own: the parent's is not inherited */
            _exit(1);
        at = kp_alloc(64);
        act(at);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void free_twice(unsigned char *at)
{
    kp_free(at);
    kp_free(at);
}

static void overrun(unsigned char *at)
{
    memset(at, 0xff, 64 + 16);
    kp_free(at);
}

static void free_elsewhere(unsigned char *at)
{
    static int elsewhere;

    (void)at;
    kp_free(&elsewhere);
}

int main(void)
{
    size_t before;
    unsigned char *at;

    srand(1);
    if (!ok(kp_arena_open(true) == 0, "the arena is mapped and locked"))
        return done();
    ok(kp_arena_check() && kp_arena_used() == 0, "and begins empty");
    at = kp_alloc(100);
    memset(at, 0xaa, 100);
    kp_free(at);
    ok(is_all(at, 100, 0) || memchr(at, 0xaa, 100) == NULL, "freed memory holds nothing of what was in it");
    ok(((uintptr_t)kp_alloc(1) & 15) == 0, "memory is aligned to 16 bytes");
    ok(kp_alloc(KP_ARENA_BYTES) == NULL, "more than there is gives NULL");
    ok(kp_alloc(SIZE_MAX) == NULL, "so does a size that would wrap");
    before = kp_arena_used();
    ok(stress(), "200000 random steps keep every block's content and every tag");
    for (int i = 0; i < BLOCKS; i++)
        kp_free(block[i]);
    ok(kp_arena_used() == before && kp_arena_check(), "everything freed is joined again");
    at = kp_alloc(KP_ARENA_BYTES - 4096);
    ok(at != NULL, "into one block of nearly everything");
    ok(at && is_all(at, KP_ARENA_BYTES - 4096, 0), "which is all zero");
    kp_free(at);
    ok(ends_the_process(free_twice), "freeing twice ends the process");
    ok(ends_the_process(overrun), "a tag that was written over ends the process");
    ok(ends_the_process(free_elsewhere), "freeing a foreign address ends the process");
    return done();
}
