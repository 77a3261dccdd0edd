/*
 * What Node cannot ask the kernel itself: who is at the other end of a Unix socket, not to be dumpable, a datagram to
 * systemd, a lock on a file, the clock that counts suspended time; and what Node would ask in a dozen calls where every new
 * connection waits: a process's files below /proc. An N-API addon of the agent
 * (src/access/peer-credentials.ts has its types); it keeps no state but that of a
 * ring (ring.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <node_api.h>

#include "ring.h"

/* Of <asm-generic/socket.h>, which older headers lack. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum { GROUPS_MAX = 65536, MESSAGE_MAX = 4096, FILE_MAX = 65536 };

static napi_value fail(napi_env env, const char *what)
{
    napi_throw_error(env, NULL, what);
    return NULL;
}

/* Exactly `count` arguments, or false with an exception pending. */
static bool arguments(napi_env env, napi_callback_info info, size_t count, napi_value *out)
{
    size_t given = count;

    if (napi_get_cb_info(env, info, &given, out, NULL, NULL) == napi_ok && given >= count)
        return true;
    fail(env, "too few arguments");
    return false;
}

static bool set_number(napi_env env, napi_value object, const char *name, uint32_t number)
{
    napi_value value = NULL;

    return napi_create_uint32(env, number, &value) == napi_ok &&
           napi_set_named_property(env, object, name, value) == napi_ok;
}

/* SO_PEERGROUPS: the supplementary groups at the time of connect. */
static napi_value peer_groups(napi_env env, int fd)
{
    static gid_t groups[GROUPS_MAX]; /* JavaScript is one thread */
    socklen_t size = sizeof(groups);
    napi_value list = NULL;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
        return fail(env, strerror(errno));
    if (napi_create_array(env, &list) != napi_ok)
        return NULL;
    for (uint32_t i = 0; i < size / sizeof(gid_t); i++) {
        napi_value number = NULL;

        if (napi_create_uint32(env, groups[i], &number) != napi_ok ||
            napi_set_element(env, list, i, number) != napi_ok)
            return NULL;
    }
    return list;
}

/* peerCredentials(fd): { pid, uid, gid, groups } */
static napi_value peer_credentials(napi_env env, napi_callback_info info)
{
    struct ucred who = {0};
    socklen_t size = sizeof(who);
    napi_value argument = NULL, result = NULL, groups = NULL;
    int32_t fd = -1;

    if (!arguments(env, info, 1, &argument))
        return NULL;
    if (napi_get_value_int32(env, argument, &fd) != napi_ok)
        return fail(env, "a descriptor is a number");
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
        return fail(env, strerror(errno));
    groups = peer_groups(env, fd);
    if (!groups || napi_create_object(env, &result) != napi_ok)
        return NULL;
    if (!set_number(env, result, "pid", (uint32_t)who.pid) || !set_number(env, result, "uid", who.uid) ||
        !set_number(env, result, "gid", who.gid) || napi_set_named_property(env, result, "groups", groups) != napi_ok)
        return NULL;
    return result;
}

/*
 * peerPidfd(fd): a pidfd of the process that connected, or -1 where the kernel (before 6.5) has none, or the process was
 * reaped already.
 */
static napi_value peer_pidfd(napi_env env, napi_callback_info info)
{
    napi_value argument = NULL, result = NULL;
    socklen_t size = sizeof(int);
    int32_t fd = -1;
    int pidfd = -1;

    if (!arguments(env, info, 1, &argument))
        return NULL;
    if (napi_get_value_int32(env, argument, &fd) != napi_ok)
        return fail(env, "a descriptor is a number");
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0)
        pidfd = -1;
    return napi_create_int32(env, pidfd, &result) == napi_ok ? result : NULL;
}

/* hasEnded(pidfd): a pidfd is readable once its process ended. */
static napi_value has_ended(napi_env env, napi_callback_info info)
{
    napi_value argument = NULL, result = NULL;
    struct pollfd watched = {.fd = -1, .events = POLLIN};

    if (!arguments(env, info, 1, &argument))
        return NULL;
    if (napi_get_value_int32(env, argument, &watched.fd) != napi_ok)
        return fail(env, "a descriptor is a number");
    if (poll(&watched, 1, 0) < 0)
        return fail(env, strerror(errno));
    return napi_get_boolean(env, watched.revents != 0, &result) == napi_ok ? result : NULL;
}

/* setNotDumpable(): no core, no ptrace by the same uid, /proc/self owned by root. */
static napi_value set_not_dumpable(napi_env env, napi_callback_info info)
{
    struct rlimit none = {0, 0};

    (void)info;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
        return fail(env, strerror(errno));
    return NULL;
}

static bool read_string(napi_env env, napi_value value, char *out, size_t size)
{
    size_t length = 0;

    return napi_get_value_string_utf8(env, value, NULL, 0, &length) == napi_ok && length < size &&
           napi_get_value_string_utf8(env, value, out, size, &length) == napi_ok;
}

/* notify(path, message): one datagram; a path that begins with '@' is abstract (sd_notify(3)). */
static napi_value notify(napi_env env, napi_callback_info info)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    napi_value given[2] = {NULL, NULL};
    char message[MESSAGE_MAX];
    socklen_t size;
    int fd, why;

    if (!arguments(env, info, 2, given))
        return NULL;
    if (!read_string(env, given[0], to.sun_path, sizeof(to.sun_path)) ||
        !read_string(env, given[1], message, sizeof(message)))
        return fail(env, "a path or a message that is too long");
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to.sun_path));
    if (to.sun_path[0] == '@')
        to.sun_path[0] = 0;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(env, strerror(errno));
    why = sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0 ? errno : 0;
    close(fd);
    return why ? fail(env, strerror(why)) : NULL;
}

/* lockFile(path): the descriptor that holds the lock until the process ends, or -1 when another process holds it. */
static napi_value lock_file(napi_env env, napi_callback_info info)
{
    napi_value argument = NULL, result = NULL;
    char path[MESSAGE_MAX];
    int fd;

    if (!arguments(env, info, 1, &argument))
        return NULL;
    if (!read_string(env, argument, path, sizeof(path)))
        return fail(env, "a path that is too long");
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(env, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;

        close(fd);
        if (why != EWOULDBLOCK)
            return fail(env, strerror(why));
        fd = -1;
    }
    return napi_create_int32(env, fd, &result) == napi_ok ? result : NULL;
}

/* unlockFile(fd) */
static napi_value unlock_file(napi_env env, napi_callback_info info)
{
    napi_value argument = NULL;
    int32_t fd = -1;

    if (arguments(env, info, 1, &argument) && napi_get_value_int32(env, argument, &fd) == napi_ok && fd >= 0)
        close(fd);
    return NULL;
}

/* bootTime(): milliseconds of CLOCK_BOOTTIME. */
static napi_value boot_time(napi_env env, napi_callback_info info)
{
    struct timespec now = {0};
    napi_value result = NULL;

    (void)info;
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return fail(env, strerror(errno));
    return napi_create_double(env, (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6, &result) == napi_ok ? result
                                                                                                             : NULL;
}

/* Null where it cannot be read, or does not end within `size`. */
static napi_value file_of(napi_env env, uint32_t pid, const char *name, bool is_link)
{
    static char text[FILE_MAX]; /* JavaScript is one thread */
    napi_value value = NULL;
    char path[64];
    ssize_t length;
    size_t have = 0;
    int fd = -1;

    snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
    if (is_link) {
        length = readlink(path, text, sizeof(text));
        have = length > 0 ? (size_t)length : 0;
    } else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0) {
        while (have < sizeof(text) && (length = read(fd, text + have, sizeof(text) - have)) > 0)
            have += (size_t)length;
        close(fd);
    }
    if (have == 0 || have == sizeof(text))
        return napi_get_null(env, &value) == napi_ok ? value : NULL;
    return napi_create_string_utf8(env, text, have, &value) == napi_ok ? value : NULL;
}

/* processFiles(pid): what /proc says of a process, in this order: [stat, exe, cgroup, stat again], null what may not be read. */
static napi_value process_files(napi_env env, napi_callback_info info)
{
    static const struct {
        const char *name;
        bool is_link;
    } files[] = {{"stat", false}, {"exe", true}, {"cgroup", false}, {"stat", false}};
    napi_value argument = NULL, list = NULL;
    uint32_t pid;

    if (!arguments(env, info, 1, &argument))
        return NULL;
    if (napi_get_value_uint32(env, argument, &pid) != napi_ok)
        return fail(env, "a pid is a number");
    if (napi_create_array(env, &list) != napi_ok)
        return NULL;
    for (uint32_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        napi_value text = file_of(env, pid, files[i].name, files[i].is_link);

        if (!text || napi_set_element(env, list, i, text) != napi_ok)
            return NULL;
    }
    return list;
}

static napi_value start(napi_env env, napi_value exports)
{
    static const struct {
        const char *name;
        napi_callback function;
    } table[] = {
        {"peerCredentials", peer_credentials},
        {"peerPidfd", peer_pidfd},
        {"hasEnded", has_ended},
        {"setNotDumpable", set_not_dumpable},
        {"notify", notify},
        {"lockFile", lock_file},
        {"unlockFile", unlock_file},
        {"bootTime", boot_time},
        {"processFiles", process_files},
        {"ringOpen", peer_ring_open},
        {"ringCall", peer_ring_call},
        {"ringPost", peer_ring_post},
        {"ringCollect", peer_ring_collect},
        {"ringWake", peer_ring_wake},
        {"ringClose", peer_ring_close},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        napi_value function = NULL;

        if (napi_create_function(env, table[i].name, NAPI_AUTO_LENGTH, table[i].function, NULL, &function) != napi_ok ||
            napi_set_named_property(env, exports, table[i].name, function) != napi_ok)
            return NULL;
    }
    return exports;
}

NAPI_MODULE(peer, start)
