/*
 * How much stack the module takes from its host: hosts give threads as little as 64 KiB, and musl's default is 128. The
 * thread's stack is painted, and what is not paint afterwards was used.
 */
#include "peer.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { STACK_BYTES = 4 * 1024 * 1024 /* ThreadSanitizer keeps 900 KiB there */, PAINT = 0xa5 };
#ifdef SIDEKEY_SANITIZED
enum { ALLOWED_BYTES = 128 * 1024 }; /* sanitisers put red zones around every variable */
#else
enum { ALLOWED_BYTES = 16 * 1024 };
#endif

static CK_FUNCTION_LIST *f;
static unsigned char *stack;

static void attributes(CK_SESSION_HANDLE s)
{
    CK_BYTE id[64], label[64];
    CK_BBOOL nested = CK_TRUE;
    CK_ATTRIBUTE inner[] = {{CKA_ENCRYPT, &nested, sizeof(nested)}, {CKA_LABEL, label, sizeof(label)}};
    CK_ATTRIBUTE wanted[] = {{CKA_LABEL, label, sizeof(label)},
                             {CKA_ID, id, sizeof(id)},
                             {CKA_WRAP_TEMPLATE, inner, sizeof(inner)}};
    CK_OBJECT_HANDLE found[4];
    CK_ULONG count;

    f->C_GetAttributeValue(s, PEER_KEY, wanted, 3);
    f->C_FindObjectsInit(s, wanted, 1);
    f->C_FindObjects(s, found, 4, &count);
    f->C_FindObjectsFinal(s);
    f->C_SetAttributeValue(s, PEER_KEY, wanted, 1);
}

static void operations(CK_SESSION_HANDLE s)
{
    static CK_BYTE data[100000], out[100064];
    CK_BYTE iv[12] = {0};
    CK_GCM_PARAMS gcm = {.iv_ptr = iv, .iv_len = 12, .iv_bits = 96, .tag_bits = 128};
    CK_MECHANISM m_gcm = {CKM_AES_GCM, &gcm, sizeof(gcm)}, m_hmac = {CKM_SHA256_HMAC, NULL, 0}, m_sha = {CKM_SHA256, NULL, 0};
    CK_ULONG length = sizeof(out);

    f->C_EncryptInit(s, &m_gcm, PEER_KEY);
    is(f->C_Encrypt(s, data, sizeof(data), out, &length), CKR_OK, "a long message is encrypted");
    f->C_SignInit(s, &m_hmac, PEER_KEY);
    f->C_SignUpdate(s, data, sizeof(data));
    length = sizeof(out);
    f->C_SignFinal(s, out, &length);
    f->C_DigestInit(s, &m_sha);
    length = sizeof(out);
    f->C_Digest(s, data, sizeof(data), out, &length);
}

/* The peer does not know most of these requests and refuses them; the stack is used before that. */
static void keys(CK_SESSION_HANDLE s)
{
    CK_BYTE data[200] = {0};
    CK_ULONG length = sizeof(data), bytes = 32;
    CK_KEY_DERIVATION_STRING_DATA text = {data, sizeof(data)};
    CK_MECHANISM derive = {CKM_CONCATENATE_BASE_AND_DATA, &text, sizeof(text)}, wrap = {CKM_AES_KEY_WRAP_KWP, NULL, 0};
    CK_MECHANISM generate = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE template[] = {{CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    CK_OBJECT_HANDLE made;

    f->C_GenerateKey(s, &generate, template, 1, &made);
    f->C_DeriveKey(s, &derive, PEER_KEY, template, 1, &made);
    f->C_WrapKey(s, &wrap, PEER_KEY, PEER_KEY, data, &length);
    f->C_UnwrapKey(s, &wrap, PEER_KEY, data, 40, template, 1, &made);
}

/* From C_Initialize, which connects at the first question, to C_Finalize. */
static void *use(void *unused)
{
    CK_SESSION_HANDLE s;

    (void)unused;
    f = module_list();
    f->C_Initialize(NULL);
    s = module_session();
    attributes(s);
    operations(s);
    keys(s);
    f->C_Finalize(NULL);
    return NULL;
}

static size_t deepest(const unsigned char *top)
{
    size_t untouched = 0;

    while (stack[untouched] == PAINT)
        untouched++;
    return (size_t)(top - stack) - untouched;
}

/* What a thread takes that does nothing: its own record, and what the C library keeps with it. */
static void *rest(void *unused)
{
    (void)unused;
    return NULL;
}

static size_t depth_of(void *(*work)(void *))
{
    pthread_attr_t attributes_of;
    pthread_t thread;

    memset(stack, PAINT, STACK_BYTES);
    pthread_attr_init(&attributes_of);
    pthread_attr_setstack(&attributes_of, stack, STACK_BYTES);
    if (pthread_create(&thread, &attributes_of, work, NULL) != 0)
        return SIZE_MAX;
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes_of);
    return deepest(stack + STACK_BYTES);
}

int main(void)
{
    size_t alone, used;

    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    peer_start();
    alone = depth_of(rest);
    used = depth_of(use);
    printf("# %zu bytes, of which %zu are the thread's own\n", used, alone);
    ok(used > alone, "the module was called on the painted stack");
    ok(used - alone < ALLOWED_BYTES, "and takes less than 16 KiB of it");
    peer_stop();
    return done_testing();
}
