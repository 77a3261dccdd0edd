#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_uint rings, rings_max = UINT_MAX;

void kp_ring_limit(unsigned most) { atomic_store(&rings_max, most); }

/* Neither side can make it shorter than the other believes: no access can fault. */
static int sealed_memory(void)
{
    int fd = memfd_create("sidekey-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && ftruncate(fd, sizeof(struct ring_region)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static struct ring_region *map(int fd)
{
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct ring_region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct ring_region *region = at;

    if (at == MAP_FAILED)
        return NULL;
    atomic_store(&region->version, RING_VERSION);
    atomic_store(&region->slots, RING_SLOTS);
    return region;
}

int kp_ring_open(struct kp_ring **out, int *memfd)
{
    struct kp_ring *ring = calloc(1, sizeof(*ring));
    int error = EMFILE;

    if (!ring)
        return -ENOMEM;
    *memfd = ring->bell = -1;
    if (atomic_fetch_add(&rings, 1) < atomic_load(&rings_max)) {
        *memfd = sealed_memory();
        ring->region = map(*memfd);
        ring->bell = ring->region ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
        error = errno;
    }
    *out = ring;
    if (ring->bell >= 0)
        return 0;
    if (*memfd >= 0)
        close(*memfd);
    kp_ring_close(ring);
    return -error;
}

void kp_ring_close(struct kp_ring *ring)
{
    if (ring->region)
        munmap(ring->region, sizeof(*ring->region));
    if (ring->bell >= 0)
        close(ring->bell);
    free(ring);
    atomic_fetch_sub(&rings, 1);
}

void kp_ring_set_polled(struct kp_ring *ring, bool polled) { atomic_store(&ring->region->polled, polled); }
void kp_ring_set_epoch(struct kp_ring *ring, uint64_t epoch) { atomic_store(&ring->region->epoch, epoch); }

static bool is_ready(const struct kp_ring *ring, unsigned slot)
{
    return atomic_load_explicit(&ring->region->slot[slot].state, memory_order_acquire) == RING_READY;
}

bool kp_ring_has_work(struct kp_ring *ring)
{
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < RING_SLOTS; i++)
        if (is_ready(ring, i))
            return true;
    return false;
}

/* The client's length is read here and nowhere else. */
static void copy_out(struct kp_ring *ring, unsigned slot, uint8_t *head, uint8_t *body, int *length)
{
    const uint8_t *payload = ring->region->payload[slot];
    uint32_t all = atomic_load_explicit(&ring->region->slot[slot].length, memory_order_relaxed);

    *length = -1;
    if (all < WIRE_HEADER_BYTES || all > RING_SLOT_BYTES)
        return;
    *length = (int)(all - WIRE_HEADER_BYTES);
    memcpy(head, payload, WIRE_HEADER_BYTES);
    memcpy(body, payload + WIRE_HEADER_BYTES, (size_t)*length);
}

/* Of two workers that see the same request one takes it; who comes later finds it answered. Its state stays as the client
 * wrote it: to write there would fetch the line from the client's processor a second time. */
static bool take(struct kp_ring *ring, unsigned slot)
{
    if (!is_ready(ring, slot) || atomic_load_explicit(&ring->held[slot], memory_order_relaxed) ||
        atomic_exchange(&ring->held[slot], true))
        return false;
    if (is_ready(ring, slot))
        return true;
    atomic_store(&ring->held[slot], false);
    return false;
}

int kp_ring_take(struct kp_ring *ring, uint8_t *head, uint8_t *body, int *length)
{
    unsigned first = atomic_load_explicit(&ring->next, memory_order_relaxed);

    for (unsigned i = 0; i < RING_SLOTS; i++) {
        unsigned slot = (first + i) % RING_SLOTS;

        if (!take(ring, slot))
            continue;
        if (slot != first)
            atomic_store_explicit(&ring->next, slot, memory_order_relaxed);
        copy_out(ring, slot, head, body, length);
        return (int)slot;
    }
    return -1;
}

void kp_ring_running(struct kp_ring *ring, unsigned slot)
{
    atomic_store(&ring->region->slot[slot].state, RING_RUNNING);
}

/* Not FUTEX_PRIVATE: the sleeper is in another process. */
static void wake(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

/* The slot is held until its answer is there, so that nobody takes the request twice. The client's next request may already be
 * ready by then, and a worker have passed it over as held: one that goes to sleep asks kp_ring_has_work, which knows of no
 * holding. */
void kp_ring_answer(struct kp_ring *ring, unsigned slot, const uint8_t *frame, size_t length)
{
    struct ring_slot *s = &ring->region->slot[slot];
    bool sleeps;

    if (length > RING_SLOT_BYTES)
        abort();
    memcpy(ring->region->payload[slot], frame, length);
    atomic_store_explicit(&s->length, (uint32_t)length, memory_order_relaxed);
    atomic_store(&s->state, RING_DONE);
    sleeps = atomic_load(&s->waiting);
    atomic_store_explicit(&ring->held[slot], false, memory_order_release);
    if (sleeps)
        wake(&s->state);
    if (atomic_load_explicit(&ring->woke, memory_order_relaxed) != sleeps)
        atomic_store_explicit(&ring->woke, sleeps, memory_order_relaxed);
}

void kp_ring_ring(struct kp_ring *ring)
{
    uint64_t one = 1;

    if (write(ring->bell, &one, sizeof(one)) < 0)
        return; /* full by the client's doing: it rings for itself */
}
