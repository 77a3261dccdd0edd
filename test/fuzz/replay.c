/* A plain main for a fuzz target: runs it on each file that it is given and prints TAP. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static int run_file(const char *path, uint8_t *bytes)
{
    FILE *f = fopen(path, "rb");
    size_t size;

    if (!f)
        return -1;
    size = fread(bytes, 1, INPUT_MAX, f);
    fclose(f);
    LLVMFuzzerTestOneInput(bytes, size);
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t *bytes = malloc(INPUT_MAX);
    int bad = !bytes;

    for (int i = 1; bytes && i < argc; i++) {
        int failed = run_file(argv[i], bytes) < 0;

        printf("%sok %d - %s\n", failed ? "not " : "", i, argv[i]);
        bad |= failed;
    }
    printf("1..%d\n", argc - 1);
    free(bytes);
    return bad;
}
