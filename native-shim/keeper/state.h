/*
 * What the keeper knows: connections, cells, bindings, operations, parked requests. One lock guards all of it; it is never
 * held while ciphering, and never while waiting (sending to a socket does not wait). Order of locks: kp_lock, then a
 * connection's own, then the arena's.
 */
#ifndef SIDEKEY_KEEPER_STATE_H
#define SIDEKEY_KEEPER_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "frame.h"

enum {
    KP_CONNECTIONS_MAX = 4096, /* slots; a connection's number is its slot and a count above it */
    KP_CELLS_MAX = 4096,
    KP_GENERATIONS_MAX = INT32_MAX, /* of each slot: no id of a cell comes twice */
    KP_GROUPS_MAX = 64,
    KP_PROGRAM_MAX = 64,
    KP_BINDINGS_MAX = 1024,   /* per client */
    KP_BUCKETS = 64,          /* of a client's bindings */
    KP_OPERATIONS_MAX = 1024, /* in progress, per client */
    KP_PARKED_MAX = 4096,
    KP_PARKED_CLIENT_MAX = 256,
    KP_PARKED_UID_MAX = KP_PARKED_MAX - KP_PARKED_MAX / 4,
    KP_NOTES_MAX = 32 * 1024 * 1024, /* all notes together, in ordinary memory */
    KP_RESOLVES_MAX = 32,            /* times that one request may miss: its key may be changed without a pause */
    KP_FRAMES_BYTES = 1536 * 1024,   /* of the arena, for frames that wait: partial, parked, unsent */
    KP_PARTS_BYTES = 512 * 1024,     /* of these, for partial ones: anybody can hold them who can connect */
    KP_UNSENT_BYTES = 640 * 1024     /* and for what clients do not read */
};

struct kp_note {
    uint8_t *data;
    uint32_t length;
};

struct kp_cell {
    uint64_t id;       /* index | generation << 32 */
    uint64_t owner;    /* a client, or 0 */
    uint64_t deadline; /* of the lease, ms of CLOCK_BOOTTIME; 0: none */
    uint64_t uses;     /* left; meaningful when bounded */
    uint64_t seals;    /* messages sealed or encrypted with GCM */
    bool bounded;
    struct kp_key *key;
    struct kp_note note;
    LIST_HEAD(, kp_binding) bindings;
    LIST_HEAD(, kp_operation) operations;
};

struct kp_binding {
    LIST_ENTRY(kp_binding) of_client, of_cell;
    struct kp_cell *cell;
    struct kp_conn *client;
    uint64_t slot, handle;
    uint32_t operations; /* bits */
    uint32_t credits;
    bool context_login;
    bool each_asks; /* every use needs the agent's leave */
    uint32_t count; /* of mechanisms; 0: all */
    uint64_t mechanisms[];
};

/* The agent's leave for one use of a key of which each is recorded: it is told how that use ended. */
struct kp_leave {
    uint64_t id; /* of the resolve; 0: there was none, or nobody asked to be told */
    uint64_t client, slot, handle, mechanism;
    uint8_t operation;
};

/* One multi-part operation. While `busy`, the thread that works on it owns `op`; another thread that ends it only marks it `dead`. */
struct kp_operation {
    LIST_ENTRY(kp_operation) of_client, of_cell;
    struct kp_conn *client; /* while not dead */
    uint64_t number;
    uint64_t slot, handle; /* for the usage counters */
    struct kp_cell *cell;  /* NULL for a digest, and once the cell is gone */
    bool needs_cell, busy, dead;
    struct kp_leave leave;
    int outcome; /* how it ends if nothing more is done with it */
    struct kp_op op;
};

enum kp_kind { KP_CLIENT, KP_AGENT };

struct kp_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    uint32_t count;
    uint32_t groups[KP_GROUPS_MAX];
};

/* Memory for frames that wait: a share of the arena, of which what others than the agent make wait has a part each, so that who
 * holds all of one stops none of the others. */
enum kp_frames { KP_FRAMES_PARKED, KP_FRAMES_PARTIAL, KP_FRAMES_UNSENT, KP_FRAMES_USES };

/* What the clients of one uid hold of that memory (kp_frame_reserve), and how many of their requests are parked. */
struct kp_holder {
    unsigned connections, parked; /* kp_lock */
    size_t of[KP_FRAMES_USES];
};

struct kp_ring;

struct kp_conn {
    uint64_t number;
    enum kp_kind kind;
    unsigned refs; /* kp_lock */
    bool gone;     /* kp_lock: out of the table */
    _Atomic bool greeted; /* hello or attach was answered, or it is for_ring */
    bool for_ring;        /* the attached agent's second connection: it carries cell_operate_many alone */
    uint32_t version;     /* of the frame: what is spoken, or, before it greeted, what was asked for in vain */
    struct kp_peer peer;
    struct kp_holder *holder; /* of a client */
    uint8_t program[KP_PROGRAM_MAX];
    uint32_t program_length;

    /* What carries its frames: see conn.h. */
    int fd;
    pthread_mutex_t lock;
    bool reading, hungry;
    uint8_t *out; /* unsent bytes */
    size_t out_length, out_at;
    _Atomic uint64_t out_deadline; /* of a client: by then it must have read some; 0: nothing waits */

    /* Input: of the thread that reads. */
    uint8_t head[WIRE_HEADER_BYTES];
    size_t have, reserved;
    uint8_t *part; /* what has come of the body */
    size_t part_length;
    _Atomic uint64_t input_deadline;

    /* A client's: kp_lock. */
    _Atomic uint64_t epoch;
    bool asked; /* about objects, since its epoch changed: it may keep the answers */
    _Atomic(struct kp_ring *) ring; /* once made it stays until the last reference goes; NULL: the socket alone */
    _Atomic int ring_refused;       /* errno of what stood in the way of one; 0: nothing did, or none was asked for */
    struct kp_note note;
    LIST_HEAD(, kp_binding) bindings[KP_BUCKETS];
    LIST_HEAD(, kp_operation) operations;
    unsigned binding_count, operation_count, parked_count;
};

struct kp_state {
    pthread_mutex_t lock;
    struct kp_conn *conns[KP_CONNECTIONS_MAX];
    struct kp_conn *agent; /* attached, or NULL */
    struct kp_cell *cells[KP_CELLS_MAX];
    uint32_t generations[KP_CELLS_MAX];
    uint32_t first_generation; /* random, so that no cell has the id of another keeper's: the agent may still hold one */
    uint64_t connections; /* ever */
    uint64_t boot;
    size_t note_bytes;
    unsigned clients, cell_count, binding_count, parked_count, max_clients;
    uint64_t linger_ms, idle_since;
    _Atomic uint64_t hot, misses;
};

extern struct kp_state kp;

void kp_state_open(unsigned max_clients, uint64_t linger_ms);
static inline void kp_lock(void) { pthread_mutex_lock(&kp.lock); }
static inline void kp_unlock(void) { pthread_mutex_unlock(&kp.lock); }

/* Replaces a note; false when it is too long or all notes together are. Holds kp_lock. */
bool kp_note_set(struct kp_note *note, struct wire_bytes bytes);

/* A holder with something gets no more than is left then for all others: no uid takes everything, and one that comes late has its
 * first frame. `of` NULL: of the keeper's own. kp_frame_new gives wiped arena memory within it, or NULL. */
bool kp_frame_reserve(enum kp_frames use, struct kp_holder *of, size_t bytes);
bool kp_frame_fits(enum kp_frames use, const struct kp_holder *of, size_t bytes); /* whether it would be reserved now */
void kp_frame_release(enum kp_frames use, struct kp_holder *of, size_t bytes);
void *kp_frame_new(enum kp_frames use, size_t bytes);
void kp_frame_free(enum kp_frames use, void *frame, size_t bytes);

#endif
