/* SHA-224 and SHA-256 of the module: the figures of FIPS 180-4's examples (NIST), however the message is cut. */
#include "sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count, failed;

static void ok(int good, const char *sentence)
{
    failed += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", ++count, sentence);
}

static void hex(const uint8_t *bytes, size_t length, char *out)
{
    for (size_t i = 0; i < length; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

/* In pieces of `piece` bytes. */
static int matches(size_t bytes, const uint8_t *data, size_t length, size_t piece, const char *wanted)
{
    struct sk_sha256 h;
    uint8_t digest[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];

    sk_sha256_begin(&h, bytes);
    for (size_t at = 0; at < length; at += piece)
        sk_sha256_update(&h, data + at, piece < length - at ? piece : length - at);
    sk_sha256_finish(&h, digest);
    hex(digest, bytes, text);
    return strcmp(text, wanted) == 0;
}

static const struct {
    size_t bytes;
    const char *message, *digest;
} examples[] = {
    {SHA256_BYTES, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {SHA256_BYTES, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {SHA256_BYTES, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {SHA224_BYTES, "abc", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
    {SHA224_BYTES, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "75388b16512776cc5dba5da1fd890150b0c6455cb4f58b1952522525"},
};

static void published(void)
{
    int good = 1;

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        good &= matches(examples[i].bytes, (const uint8_t *)examples[i].message, strlen(examples[i].message), 3,
                        examples[i].digest);
    ok(good, "the published examples");
}

static void million(void)
{
    static const size_t pieces[] = {1, 55, 56, 63, 64, 65, 119, 128, 1000, 1000000};
    uint8_t *data = malloc(1000000);
    int good = data != NULL;

    if (data)
        memset(data, 'a', 1000000);
    for (size_t i = 0; good && i < sizeof(pieces) / sizeof(pieces[0]); i++)
        good = matches(SHA256_BYTES, data, 1000000, pieces[i], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    ok(good, "a million times a, in pieces of any length");
    free(data);
}

int main(void)
{
    if (!sk_sha256_is_fast()) {
        printf("1..0 # SKIP this processor has no instructions for SHA-256: the keeper makes all digests\n");
        return 0;
    }
    published();
    million();
    printf("1..%d\n", count);
    return failed > 0;
}
