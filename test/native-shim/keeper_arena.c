/* The locked memory: what is taken is zero, what is given back is wiped, and no order of both breaks a tag. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena_near.h"
#include "keeper_tap.h"
#include "stack.h"

enum { STACK_BYTES = 128 * 1024 };
enum { BLOCKS = 512, ROUNDS = 200000, THREADS = 2 };

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
static bool ends_by(int signal, void (*act)(unsigned char *))
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
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

static bool ends_the_process(void (*act)(unsigned char *)) { return ends_by(SIGABRT, act); }

/* A stack that overflows by one byte, and by a page. */
static void overflow(size_t bytes)
{
    char *stack = kp_stack_new(STACK_BYTES);

    signal(SIGSEGV, SIG_DFL); /* also where a sanitiser has put a handler of its own */
    if (stack)
        *(volatile char *)(stack - bytes) = 1;
}

static void overflow_a_little(unsigned char *at)
{
    (void)at;
    overflow(1);
}

static void overflow_by_a_page(unsigned char *at)
{
    (void)at;
    overflow((size_t)sysconf(_SC_PAGESIZE));
}

static bool is_whole_stack(char *stack)
{
    if (!stack || (uintptr_t)stack % (uintptr_t)sysconf(_SC_PAGESIZE) != 0 || !is_all((unsigned char *)stack, STACK_BYTES, 0))
        return false;
    memset(stack, 0x55, STACK_BYTES);
    return kp_arena_holds(stack) && kp_arena_holds(stack + STACK_BYTES - 1) && kp_arena_check();
}

static bool runs_out_of_stacks(void)
{
    size_t count = 1;

    while (count < KP_ARENA_BYTES / STACK_BYTES && kp_stack_new(STACK_BYTES))
        count++;
    return count >= 16 && errno == ENOMEM && kp_arena_check();
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

/* What is kept near is checked as well. The child's own: the parent keeps nothing yet. */
static void free_twice_near(unsigned char *at)
{
    static struct kp_near mine;

    kp_arena_near(&mine);
    free_twice(at);
}

static void overrun_near(unsigned char *at)
{
    static struct kp_near mine;

    kp_arena_near(&mine);
    kp_free(at);
    memset(at - 16, 0xff, 16);
    kp_alloc(64);
}

/* Threads that keep what they free, and free what others have allocated: each block is filled with its length. */
static _Atomic(unsigned char *) shared[BLOCKS];
static atomic_bool spoilt;

static void expect(bool good)
{
    if (!good)
        atomic_store(&spoilt, true);
}

static void *exchange(void *mine)
{
    unsigned seed = (unsigned)(uintptr_t)mine;

    kp_arena_near(mine);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned char length = (unsigned char)(rand_r(&seed) % 255 + 1), *at = kp_alloc(length);

        expect(at && is_all(at, length, 0));
        memset(at, length, length);
        at = atomic_exchange(&shared[(unsigned)rand_r(&seed) % BLOCKS], at);
        expect(!at || is_all(at, at[0], at[0]));
        kp_free(at);
    }
    return NULL;
}

static bool threads_agree(void)
{
    static struct kp_near near[THREADS];
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, exchange, &near[i]);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < BLOCKS; i++)
        kp_free(shared[i]);
    for (unsigned i = 0; i < THREADS; i++)
        expect(near[i].units > 0 && near[i].units <= KP_NEAR_UNITS);
    return !atomic_load(&spoilt);
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
    ok(ends_the_process(free_twice_near), "freeing twice what is kept near ends the process");
    ok(ends_the_process(overrun_near), "so does a tag that was written over while its block was kept near");
    ok(threads_agree(), "threads that keep what they freed find it zero, and keep no more than they may");
    ok(kp_arena_used() == before && kp_arena_check(), "what is kept near is not counted as used");
    ok(is_whole_stack(kp_stack_new(STACK_BYTES)), "a stack is in the arena, begins at a page, and all of it can be used");
    ok(ends_by(SIGSEGV, overflow_a_little), "a stack that overflows by one byte ends the process");
    ok(ends_by(SIGSEGV, overflow_by_a_page), "so does one that overflows by a page");
    ok(runs_out_of_stacks(), "stacks that do not fit any more give ENOMEM");
    return done();
}
