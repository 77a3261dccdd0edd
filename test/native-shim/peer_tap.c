/*
 * TAP, and a module to test.
 */
#include "peer.h"

#include <stdio.h>
#include <time.h>

static unsigned tests, failures;

void ok(bool good, const char *name)
{
    printf("%sok %u - %s\n", good ? "" : "not ", ++tests, name);
    failures += !good;
    fflush(stdout);
}

void is(unsigned long got, unsigned long wanted, const char *name)
{
    ok(got == wanted, name);
    if (got != wanted)
        printf("# got %#lx, wanted %#lx\n", got, wanted);
}

int done_testing(void)
{
    printf("1..%u\n", tests);
    return failures != 0;
}

CK_FUNCTION_LIST *module_list(void)
{
    CK_FUNCTION_LIST *list = NULL;

    C_GetFunctionList(&list);
    return list;
}

CK_SESSION_HANDLE module_session(void)
{
    CK_SESSION_HANDLE session = 0;
    CK_FUNCTION_LIST *f = module_list();

    f->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    return session;
}

long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
