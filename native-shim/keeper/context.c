#include "context.h"

#include <openssl/evp.h>

#include "aead.h"
#include "arena.h"
#include "engine/engine.h"
#include "mechanism.h"
#include "state.h"

enum { ALL_MAX = 512, TRIM = 8 };

struct kp_context {
    const struct wire_mechanism *mechanism;
    enum wire_operation operation;
    EVP_CIPHER_CTX *cipher;
    EVP_MD_CTX *md;
    EVP_MAC_CTX *mac;
    EVP_PKEY_CTX *pkey;
    struct kp_aead *aead;
};

static atomic_uint kept, threads;

/* Two places for each use, so that two workers with one key do not take turns. */
static unsigned place_of(const struct kp_op *op)
{
    static _Thread_local unsigned thread;
    unsigned use = (unsigned)(op->mechanism - wire_mechanisms) * 2 + (op->operation & 1u);

    if (!thread)
        thread = atomic_fetch_add(&threads, 1) + 1;
    return (use * 2 + (thread & 1u)) % KP_CONTEXTS;
}

static void release(struct kp_context *c)
{
    EVP_CIPHER_CTX_free(c->cipher);
    EVP_MD_CTX_free(c->md);
    EVP_MAC_CTX_free(c->mac);
    EVP_PKEY_CTX_free(c->pkey);
    kp_aead_free(c->aead);
    kp_free(c);
    atomic_fetch_sub(&kept, 1);
}

static void put(struct kp_contexts *all, unsigned place, struct kp_context *c)
{
    c = atomic_exchange(&all->at[place], c);
    if (c)
        release(c);
}

void kp_context_take(struct kp_contexts *all, struct kp_op *op)
{
    unsigned place = place_of(op);
    struct kp_context *c = NULL;

    if (atomic_load_explicit(&all->at[place], memory_order_relaxed))
        c = atomic_exchange(&all->at[place], NULL);
    if (!c)
        return;
    if (c->mechanism != op->mechanism || c->operation != op->operation) {
        put(all, place, c);
        return;
    }
    op->warm = true;
    op->context = c;
    op->cipher = c->cipher;
    op->md = c->md;
    op->mac = c->mac;
    op->pkey = c->pkey;
    op->aead = c->aead;
}

/* Contexts that were used long ago make room. If the lock is held, perhaps by the caller, there is no cleaning. */
static void trim(void)
{
    static unsigned hand;
    unsigned trimmed = 0;

    if (pthread_mutex_trylock(&kp.lock) != 0)
        return;
    for (unsigned i = 0; i < KP_CELLS_MAX && trimmed < TRIM; i++, hand = (hand + 1) % KP_CELLS_MAX)
        if (kp.cells[hand]) {
            kp_contexts_clear(&kp.cells[hand]->key->contexts);
            trimmed++;
        }
    pthread_mutex_unlock(&kp.lock);
}

static struct kp_context *room(void)
{
    struct kp_context *c;

    if (atomic_fetch_add(&kept, 1) >= ALL_MAX)
        trim();
    c = atomic_load(&kept) <= ALL_MAX ? kp_alloc(sizeof(*c)) : NULL;
    if (!c)
        atomic_fetch_sub(&kept, 1);
    return c;
}

void kp_context_keep(struct kp_contexts *all, struct kp_op *op)
{
    struct kp_context *c = op->context ? op->context : room();

    op->context = NULL;
    if (!c) {
        kp_context_free(op);
        return;
    }
    *c = (struct kp_context){op->mechanism, op->operation, op->cipher, op->md, op->mac, op->pkey, op->aead};
    put(all, place_of(op), c);
}

void kp_context_free(struct kp_op *op)
{
    EVP_CIPHER_CTX_free(op->cipher);
    EVP_MD_CTX_free(op->md);
    EVP_MAC_CTX_free(op->mac);
    EVP_PKEY_CTX_free(op->pkey);
    kp_aead_free(op->aead);
    if (!op->context)
        return;
    kp_free(op->context);
    atomic_fetch_sub(&kept, 1);
}

void kp_contexts_clear(struct kp_contexts *all)
{
    for (unsigned i = 0; i < KP_CONTEXTS; i++)
        put(all, i, NULL);
}
