/*
 * What a host may do to the shared memory: fork, close every descriptor, finalize. Digests of the keeper's, which need no key and no login.
 *
 *   ring MODULE        prints a line for each thing that is wrong, and "done"
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static CK_FUNCTION_LIST_PTR p11;
static CK_SLOT_ID slot;
static int wrong;

static void must(int good, const char *what)
{
    if (!good)
        printf("wrong: %s\n", what);
    wrong += !good;
}

static int mapped(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int found = 0;

    while (maps && fgets(line, sizeof(line), maps))
        found += strstr(line, "sidekey-ring") != NULL;
    if (maps)
        fclose(maps);
    return found;
}

static int descriptors(void)
{
    int count = 0;

    for (int fd = 3; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* The digest of "abc" begins dd af; a long one goes in pieces. */
static int digests(void)
{
    static unsigned char data[100000], out[64];
    CK_MECHANISM m = {CKM_SHA512, NULL, 0};
    CK_ULONG length = sizeof(out);
    CK_SESSION_HANDLE s;
    int good = 1;

    if (p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s))
        return 0;
    for (int i = 0; i < 100 && good; i++)
        good = !p11->C_DigestInit(s, &m) && !p11->C_Digest(s, (CK_BYTE_PTR) "abc", 3, out, &length) && out[0] == 0xdd && out[1] == 0xaf;
    good = good && !p11->C_DigestInit(s, &m) && !p11->C_Digest(s, data, sizeof(data), out, &length) && length == 64;
    p11->C_CloseSession(s);
    return good;
}

static int start(void)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;

    if (p11->C_Initialize(NULL) || p11->C_GetSlotList(CK_TRUE, slots, &count) || !count)
        return 0;
    slot = slots[0];
    return 1;
}

static void forked(void)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        wrong = 0;
        must(!mapped(), "a child has its parent's region");
        must(start() && digests(), "a child cannot begin anew");
        must(mapped() == 1, "a child has a region of its own");
        must(!p11->C_Finalize(NULL) && !mapped(), "a child's region outlives C_Finalize");
        fflush(stdout);
        _exit(wrong > 0);
    }
    must(waitpid(child, &status, 0) == child && status == 0, "the child");
    must(digests(), "the parent goes on");
}

int main(int argc, char **argv)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;

    if (!library || !(get = (CK_RV(*)(CK_FUNCTION_LIST_PTR_PTR))dlsym(library, "C_GetFunctionList")) || get(&p11))
        return 1;
    must(start() && digests(), "the first digests");
    must(mapped() == 1, "there is one region");
    forked();
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    must(digests(), "digests after the host closed every descriptor");
    must(mapped() == 1, "the old region is gone, and there is a new one");
    must(!p11->C_Finalize(NULL), "C_Finalize");
    must(!mapped(), "no region is left");
    must(descriptors() == 0, "no descriptor is left");
    printf("done\n");
    return wrong > 0;
}
