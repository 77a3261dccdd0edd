/*
 * A PKCS#11 program that takes something away from itself after C_Initialize, as servers do: host MODULE PIN WHAT. What went wrong is
 * said on descriptor 9, one line each; the last line is "done" when everything held.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <p11-kit/pkcs11.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NOBODY = 65534, REPORT = 9 };

static CK_FUNCTION_LIST_PTR p11;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE key;
static int good = 1;

/* No dprintf: it asks the kernel for more than write. */
static void say(const char *format, ...)
{
    char line[128];
    va_list values;
    int n;

    va_start(values, format);
    n = vsnprintf(line, sizeof(line), format, values);
    va_end(values);
    if (n <= 0 || write(REPORT, line, (size_t)n) < 0)
        good = 0;
}

static int expect(const char *what, CK_RV got, CK_RV wanted)
{
    if (got == wanted)
        return 1;
    say("%s: 0x%lx, wanted 0x%lx\n", what, got, wanted);
    return good = 0;
}

static void check(const char *what, int held) { expect(what, !held, 0); }

static int load(const char *module, const char *pin)
{
    CK_C_GetFunctionList list;
    CK_ULONG count = 1, bytes = 32;
    CK_SLOT_ID slot;
    CK_BBOOL yes = CK_TRUE;
    CK_MECHANISM m = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE t[] = {{CKA_SIGN, &yes, 1}, {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    void *library = dlopen(module, RTLD_NOW);

    if (!library)
        return 0;
    *(void **)&list = dlsym(library, "C_GetFunctionList");
    return list(&p11) == CKR_OK && expect("C_Initialize", p11->C_Initialize(NULL), CKR_OK) &&
           expect("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, &slot, &count), CKR_OK) && count == 1 &&
           expect("C_OpenSession", p11->C_OpenSession(slot, 6, NULL, NULL, &session), CKR_OK) &&
           expect("C_Login", p11->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin, strlen(pin)), CKR_OK) &&
           expect("C_GenerateKey", p11->C_GenerateKey(session, &m, t, 2, &key), CKR_OK);
}

static CK_RV sign(void)
{
    CK_MECHANISM m = {CKM_SHA256_HMAC, NULL, 0};
    CK_BYTE mac[32];
    CK_ULONG length = sizeof(mac);
    CK_RV rv = p11->C_SignInit(session, &m, key);

    return rv == CKR_OK ? p11->C_Sign(session, (CK_BYTE_PTR) "abc", 3, mac, &length) : rv;
}

static CK_RV read_label(void)
{
    CK_BYTE label[8];
    CK_ATTRIBUTE t = {CKA_LABEL, label, sizeof(label)};

    return p11->C_GetAttributeValue(session, key, &t, 1);
}

static void works(void)
{
    expect("a signature", sign(), CKR_OK);
    expect("an attribute", read_label(), CKR_OK);
}

/* Standard descriptors were closed before the module was loaded: what the program prints must not reach the service. */
static void closed(void)
{
    for (int fd = 0; fd < 3; fd++)
        check("0 to 2 are free", fcntl(fd, F_GETFD) < 0 && errno == EBADF && write(fd, "noise", 5) < 0);
    works();
    check("the first file is 0", open("/dev/null", O_RDWR) == 0);
    works();
}

static void jailed(void)
{
    char empty[] = "/tmp/sidekey-empty-XXXXXX";

    check("chroot", mkdtemp(empty) && chroot(empty) == 0 && chdir("/") == 0);
    check("another uid", setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    works();
}

static void descriptorless(void)
{
    const struct rlimit none = {1, 1}; /* with 0 the kernel refuses poll(2) too */

    check("setrlimit", setrlimit(RLIMIT_NOFILE, &none) == 0);
    works();
}

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What is left has to be an error, soon, and again the next time. */
static void confined(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_read),
        ALLOW(SYS_write),
        ALLOW(SYS_futex),
        ALLOW(SYS_clock_gettime),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
    struct timespec before, after;

    check("seccomp", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    expect("an attribute", read_label(), CKR_DEVICE_ERROR);
    expect("a signature", sign(), CKR_DEVICE_ERROR);
    clock_gettime(CLOCK_MONOTONIC, &after);
    check("at once", after.tv_sec - before.tv_sec < 3);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {{"closed", closed}, {"jailed", jailed}, {"descriptorless", descriptorless}, {"confined", confined}};

int main(int argc, char **argv)
{
    if (argc != 4 || dup2(1, REPORT) < 0)
        return 2;
    if (strcmp(argv[3], "closed") == 0)
        for (int fd = 0; fd < 3; fd++)
            close(fd);
    if (!load(argv[1], argv[2])) {
        say("no token\n");
        return 1;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (strcmp(argv[3], cases[i].name) == 0)
            cases[i].run();
    expect("C_Finalize", p11->C_Finalize(NULL), CKR_OK);
    if (good)
        say("done\n");
    return !good;
}
