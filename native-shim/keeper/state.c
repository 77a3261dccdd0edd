#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "clock.h"
#include "crypto.h"
#include "timer.h"

struct kp_state kp = {.lock = PTHREAD_MUTEX_INITIALIZER};

void kp_state_open(unsigned max_clients, uint64_t linger_ms)
{
    kp_random(&kp.boot, sizeof(kp.boot));
    kp_random(&kp.first_generation, sizeof(kp.first_generation));
    kp.first_generation &= KP_GENERATIONS_MAX;
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

static struct {
    pthread_mutex_t lock;
    size_t all, of[KP_FRAMES_USES];
} frames = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const size_t frames_max[KP_FRAMES_USES] = {
    [KP_FRAMES_PARKED] = KP_FRAMES_BYTES,
    [KP_FRAMES_PARTIAL] = KP_PARTS_BYTES,
    [KP_FRAMES_UNSENT] = KP_UNSENT_BYTES,
};

/* With the lock. */
static bool fits(enum kp_frames use, const struct kp_holder *of, size_t bytes)
{
    size_t all = KP_FRAMES_BYTES - frames.all, left = frames_max[use] - frames.of[use];

    if (left > all)
        left = all;
    return bytes <= left && (!of || !of->of[use] || of->of[use] + bytes <= left - bytes);
}

/* Nothing is taken for a moment that is then given back: a small request that came in that moment would wait for a release
 * that never comes. */
bool kp_frame_reserve(enum kp_frames use, struct kp_holder *of, size_t bytes)
{
    bool reserved;

    pthread_mutex_lock(&frames.lock);
    reserved = fits(use, of, bytes);
    if (reserved) {
        frames.all += bytes;
        frames.of[use] += bytes;
        if (of)
            of->of[use] += bytes;
    }
    pthread_mutex_unlock(&frames.lock);
    return reserved;
}

bool kp_frame_fits(enum kp_frames use, const struct kp_holder *of, size_t bytes)
{
    bool would;

    pthread_mutex_lock(&frames.lock);
    would = fits(use, of, bytes);
    pthread_mutex_unlock(&frames.lock);
    return would;
}

void kp_frame_release(enum kp_frames use, struct kp_holder *of, size_t bytes)
{
    if (!bytes)
        return;
    pthread_mutex_lock(&frames.lock);
    frames.all -= bytes;
    frames.of[use] -= bytes;
    if (of)
        of->of[use] -= bytes;
    pthread_mutex_unlock(&frames.lock);
    kp_wake_hungry();
}

void *kp_frame_new(enum kp_frames use, size_t bytes)
{
    void *frame;

    if (!kp_frame_reserve(use, NULL, bytes))
        return NULL;
    frame = kp_alloc(bytes);
    if (!frame)
        kp_frame_release(use, NULL, bytes);
    return frame;
}

void kp_frame_free(enum kp_frames use, void *frame, size_t bytes)
{
    if (!frame)
        return;
    kp_free(frame);
    kp_frame_release(use, NULL, bytes);
}
