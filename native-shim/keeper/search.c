/* Searches for primes: OpenSSL asks after each candidate whether to go on, and is told to stop at the deadline of the call. */
#include <openssl/evp.h>

#include "clock.h"
#include "crypto.h"
#include "key_kinds.h"

static int go_on(EVP_PKEY_CTX *ctx)
{
    const struct kp_search *search = EVP_PKEY_CTX_get_app_data(ctx);

    return kp_now_ms() < search->deadline;
}

void kp_search_begin(struct kp_search *search, EVP_PKEY_CTX *ctx)
{
    kp_crypto_try();
    search->deadline = kp_now_ms() + WIRE_GENERATE_DEADLINE_MS;
    EVP_PKEY_CTX_set_app_data(ctx, search);
    EVP_PKEY_CTX_set_cb(ctx, go_on);
}

int kp_search_failed(const struct kp_search *search)
{
    return kp_crypto_failed(kp_now_ms() < search->deadline ? STATUS_internal : STATUS_deadline);
}
