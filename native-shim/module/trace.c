#include "trace.h"

#include "../wire/mechanism.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 512,
    SIZE_MARGIN = 65536 /* for what other threads and processes write meanwhile */
};

static const struct {
    CK_RV rv;
    const char *name;
} results[] = {
#define ERROR(number, name, rv) {rv, #rv},
#include "../wire/errors.def"
#undef ERROR
    {CKR_HOST_MEMORY, "CKR_HOST_MEMORY"},
    {CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL"},
    {CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED"},
    {CKR_CRYPTOKI_ALREADY_INITIALIZED, "CKR_CRYPTOKI_ALREADY_INITIALIZED"},
    {CKR_FUNCTION_NOT_PARALLEL, "CKR_FUNCTION_NOT_PARALLEL"},
    {CKR_KEY_INDIGESTIBLE, "CKR_KEY_INDIGESTIBLE"},
    {CKR_NO_EVENT, "CKR_NO_EVENT"},
    {CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE"},
    {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID"},
    {CKR_SESSION_PARALLEL_NOT_SUPPORTED, "CKR_SESSION_PARALLEL_NOT_SUPPORTED"},
    {CKR_SESSION_READ_ONLY_EXISTS, "CKR_SESSION_READ_ONLY_EXISTS"},
    {CKR_SESSION_READ_WRITE_SO_EXISTS, "CKR_SESSION_READ_WRITE_SO_EXISTS"},
};

static const struct {
    int why;
    const char *text;
} absences[] = {
    {ENOENT, "there is no such socket: the service does not run, or it listens elsewhere (SIDEKEY_SOCKET names its socket)"},
    {ECONNREFUSED, "nobody listens there: the service does not run"},
    {EACCES, "permission denied: this uid may not enter the folder, or not use the socket"},
    {EPERM, "not permitted: this process may make no socket"},
    {EAFNOSUPPORT, "this process may make no Unix socket: RestrictAddressFamilies= of its unit wants AF_UNIX too"},
    {EAGAIN, "the service has more callers than places"},
    {EMFILE, "this process has no descriptor left"},
    {ENAMETOOLONG, "the path of the socket is too long"},
};

static const char *text_of(int why)
{
    for (size_t i = 0; i < sizeof(absences) / sizeof(absences[0]); i++)
        if (absences[i].why == why)
            return absences[i].text;
    return "the socket cannot be used";
}

static const char *name_of(CK_RV rv)
{
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        if (results[i].rv == rv)
            return results[i].name;
    return "CKR_?";
}

/* A pipe could block the host, or end it by SIGPIPE. */
static bool is_harmless(int fd)
{
    struct stat file;

    return sk_file_of(fd, &file) && (S_ISREG(file.st_mode) || S_ISCHR(file.st_mode));
}

void sk_trace_open(struct sk_descriptor *trace)
{
    const char *path = secure_getenv("SIDEKEY_TRACE");
    int fd;

    if (!path || !*path)
        return;
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd >= 0 && !is_harmless(fd)) {
        close(fd);
        fd = -1;
    }
    sk_descriptor_take(trace, fd);
}

struct line {
    char text[LINE_MAX_BYTES];
    size_t length;
};

static void add(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *l, const char *format, ...)
{
    size_t room = sizeof(l->text) - l->length;
    va_list values;
    int n;

    va_start(values, format);
    n = vsnprintf(l->text + l->length, room, format, values);
    va_end(values);
    if (n > 0)
        l->length += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_time(struct line *l)
{
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    add(l, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
        utc.tm_min, utc.tm_sec, now.tv_nsec / 1000);
}

static void add_mechanism(struct line *l, CK_MECHANISM_TYPE type)
{
    const struct wire_mechanism *row = wire_mechanism_find(type);

    if (row)
        add(l, " mechanism=%s", row->name);
    else
        add(l, " mechanism=0x%lx", type);
}

/* A write at the limit that a process has for files would end the host by SIGXFSZ. */
static bool has_room(int fd)
{
    struct rlimit most;
    struct stat file;

    if (getrlimit(RLIMIT_FSIZE, &most) != 0)
        return false;
    return most.rlim_cur == RLIM_INFINITY || (sk_file_of(fd, &file) && (rlim_t)file.st_size + SIZE_MARGIN < most.rlim_cur);
}

static void put(const struct sk_descriptor *trace, const struct line *l)
{
    if (sk_descriptor_alive(trace) && has_room(trace->fd) && write(trace->fd, l->text, l->length) < 0)
        return; /* a full disk is not the application's concern */
}

void sk_trace_version(const struct sk_descriptor *trace, uint32_t theirs)
{
    struct line l = {.length = 0};

    if (!trace)
        return;
    add_time(&l);
    add(&l, " %d connection wire_version: this module speaks versions %d to %d of the frame, the service %u: ", (int)syscall(SYS_gettid),
        WIRE_VERSION_OLDEST, WIRE_VERSION, (unsigned)theirs);
    add(&l, theirs > WIRE_VERSION ? "the module is too old, restart this program\n" : "the service is too old, restart it\n");
    put(trace, &l);
}

void sk_trace_absence(const struct sk_descriptor *trace, const struct sk_absence *absence)
{
    struct line l = {.length = 0};

    if (!trace)
        return;
    add_time(&l);
    add(&l, " %d connection keeper_absent: %s: %s (errno %d)\n", (int)syscall(SYS_gettid), absence->path[0] ? absence->path : "SIDEKEY_SOCKET", text_of(absence->why), absence->why);
    put(trace, &l);
}

void sk_trace_call(const struct sk_entry *e, CK_RV rv)
{
    struct line l = {.length = 0};

    add_time(&l);
    add(&l, " %d %s", (int)syscall(SYS_gettid), e->function);
    if (e->handle)
        add(&l, " session=%lu", e->handle);
    if (e->with_mechanism)
        add_mechanism(&l, e->mechanism);
    if (e->object)
        add(&l, " object=%lu", e->object);
    if (e->in)
        add(&l, " in=%lu", e->in);
    if (e->out && (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL))
        add(&l, " out=%lu", *e->out);
    add(&l, " %s\n", name_of(rv));
    put(&e->state->trace, &l);
}
