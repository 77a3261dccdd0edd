/* The control of memory.test.ts: a process that holds a key and OpenSSL's schedule of it in ordinary memory. Reads 32
 * bytes from stdin, says "ready", waits to be killed. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    unsigned char *key = malloc(32), out[64] = {0};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int length = 0;

    if (!key || !context || fread(key, 1, 32, stdin) != 32)
        return 1;
    if (!EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, out) ||
        !EVP_EncryptUpdate(context, out, &length, out, 16))
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
