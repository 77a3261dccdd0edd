#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "clock.h"
#include "crypto.h"
#include "timer.h"

struct kp_state kp = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic size_t frame_bytes;

void kp_state_open(unsigned max_clients, uint64_t linger_ms)
{
    kp_random(&kp.boot, sizeof(kp.boot));
    kp.max_clients = max_clients;
    kp.linger_ms = linger_ms;
    kp.idle_since = kp_now_ms();
}

bool kp_note_set(struct kp_note *note, struct wire_bytes bytes)
{
    uint8_t *copy = NULL;

    if (bytes.length > WIRE_NOTE_MAX || kp.note_bytes - note->length + bytes.length > KP_NOTES_MAX)
        return false;
    if (bytes.length && !(copy = malloc(bytes.length)))
        return false;
    if (bytes.length)
        memcpy(copy, bytes.data, bytes.length);
    free(note->data);
    kp.note_bytes = kp.note_bytes - note->length + bytes.length;
    *note = (struct kp_note){copy, (uint32_t)bytes.length};
    return true;
}

/* Nothing is taken for a moment that is then given back: a small request that came in that moment would wait for a release
 * that never comes. */
bool kp_frame_reserve(size_t bytes)
{
    size_t taken = atomic_load(&frame_bytes);

    do
        if (bytes > KP_FRAMES_BYTES - taken)
            return false;
    while (!atomic_compare_exchange_weak(&frame_bytes, &taken, taken + bytes));
    return true;
}

bool kp_frame_fits(size_t bytes)
{
    return bytes <= KP_FRAMES_BYTES - atomic_load(&frame_bytes);
}

void kp_frame_release(size_t bytes)
{
    if (!bytes)
        return;
    atomic_fetch_sub(&frame_bytes, bytes);
    kp_wake_hungry();
}

void *kp_frame_new(size_t bytes)
{
    void *frame;

    if (!kp_frame_reserve(bytes))
        return NULL;
    frame = kp_alloc(bytes);
    if (!frame)
        kp_frame_release(bytes);
    return frame;
}

void kp_frame_free(void *frame, size_t bytes)
{
    if (!frame)
        return;
    kp_free(frame);
    kp_frame_release(bytes);
}
