/* Times an operation in threads that begin and end together, and says what came of it. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_UP = 20, TRIPS = 16, TRIPS_LEAST = 1000, TRIES = 5 };

__thread unsigned char *in, *out;

/* `go` is passed twice: when all threads are ready, and once more when `end` is known. */
struct job {
    operation op;
    size_t size;
    pthread_barrier_t go;
    uint64_t end;
};

/* `done`: operations until the end. Of the one that lasted longer, the share before it: with 32 threads on two processors
 * some end much later than others. */
struct run {
    struct job *job;
    uint32_t *samples;
    size_t count;
    double done;
    CK_RV rv;
};

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void warm_up(struct run *r, CK_SESSION_HANDLE *s)
{
    if (p11)
        r->rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, s);
    for (int i = 0; i < (r->job->size == LONG ? 1 : WARM_UP) && !r->rv; i++)
        r->rv = r->job->op(*s, r->job->size);
}

static void *measure(void *argument)
{
    struct run *r = argument;
    CK_SESSION_HANDLE s = 0;
    uint64_t start, now = 0, took = 1;

    in = calloc(1, PIECE);
    out = calloc(1, PIECE + 64);
    warm_up(r, &s);
    pthread_barrier_wait(&r->job->go);
    pthread_barrier_wait(&r->job->go);
    for (start = now_ns(); !r->rv && start < r->job->end && r->count < SAMPLES_MAX; start = now) {
        r->rv = r->job->op(s, r->job->size);
        now = now_ns();
        took = now - start;
        r->samples[r->count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    }
    r->done = (double)r->count - (now > r->job->end ? (double)(now - r->job->end) / (double)took : 0);
    if (p11)
        p11->C_CloseSession(s);
    free(in);
    free(out);
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void report(const char *name, int threads, const struct run *runs, double seconds, double cpu)
{
    size_t total = 0, at = 0;
    double done = 0;
    uint32_t *all;
    CK_RV rv = CKR_OK;

    for (int i = 0; i < threads; i++) {
        total += runs[i].count;
        done += runs[i].done;
        rv = rv ? rv : runs[i].rv;
    }
    all = malloc((total + 1) * sizeof(*all));
    for (int i = 0; i < threads; i++) {
        memcpy(all + at, runs[i].samples, runs[i].count * sizeof(*all));
        at += runs[i].count;
    }
    qsort(all, total, sizeof(*all), ascending);
    printf("{\"row\":\"%s\",\"threads\":%d,\"count\":%zu,\"p50\":%u,\"p99\":%u,\"ops\":%.0f,\"cpu\":%.3f,\"rv\":%lu}\n", name,
           threads, total, total ? all[total / 2] : 0, total ? all[total * 99 / 100] : 0,
           seconds > 0 ? done / seconds : 0, total ? cpu * 1e6 / (double)total : 0, rv);
    fflush(stdout);
    free(all);
}

static void run_all(struct job *job, struct run *runs, int threads, double seconds, const char *name)
{
    pthread_t ids[THREADS_MAX];
    double cpu;

    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, measure, &runs[i]);
    pthread_barrier_wait(&job->go);
    cpu = cpu_seconds();
    job->end = now_ns() + (uint64_t)(seconds * 1e9);
    pthread_barrier_wait(&job->go);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    report(name, threads, runs, seconds, cpu_seconds() - cpu);
}

void measure_row(const struct row *row, operation op, double seconds, int threads)
{
    struct job job = {.op = op, .size = row->size};
    struct run runs[THREADS_MAX];

    pthread_barrier_init(&job.go, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        runs[i] = (struct run){.job = &job, .samples = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    run_all(&job, runs, threads, seconds, row->name);
    for (int i = 0; i < threads; i++)
        free(runs[i].samples);
    pthread_barrier_destroy(&job.go);
}

static void return_balls(_Atomic uint32_t *ball)
{
    for (uint32_t seen = 0;;) {
        uint32_t value = atomic_load_explicit(ball, memory_order_acquire);

        if (value == UINT32_MAX)
            _exit(0);
        if (value != seen && value % 2)
            atomic_store_explicit(ball, seen = value + 1, memory_order_release);
    }
}

/* TRIPS at a time: reading the clock costs a tenth of what is measured. */
static void play(_Atomic uint32_t *ball, struct run *r, uint64_t end)
{
    uint64_t start;

    for (uint32_t value = 1; (start = now_ns()) < end && r->count < SAMPLES_MAX; r->count++) {
        for (int i = 0; i < TRIPS; i++, value += 2) {
            atomic_store_explicit(ball, value, memory_order_release);
            while (atomic_load_explicit(ball, memory_order_acquire) != value + 1)
                ;
        }
        r->samples[r->count] = (uint32_t)((now_ns() - start) / TRIPS);
    }
}

static void play_with_child(struct run *r, double seconds)
{
    _Atomic uint32_t *ball = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();

    if (child == 0)
        return_balls(ball);
    r->count = 0;
    play(ball, r, now_ns() + (uint64_t)(seconds * 1e9));
    atomic_store(ball, UINT32_MAX);
    waitpid(child, NULL, 0);
    munmap((void *)ball, 4096);
}

/* With few trips somebody else had a processor, often the one that has just forked: that says nothing, and is done again. */
void measure_roundtrip(double seconds)
{
    struct run run = {.samples = malloc(SAMPLES_MAX * sizeof(*run.samples))};

    for (int tries = 0; tries < TRIES && run.count < TRIPS_LEAST; tries++)
        play_with_child(&run, seconds);
    run.rv = run.count < TRIPS_LEAST ? CKR_GENERAL_ERROR : CKR_OK;
    report("roundtrip", 1, &run, 0, 0);
    free(run.samples);
}
