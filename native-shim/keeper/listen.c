#include "listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conn.h"
#include "log.h"

enum { BACKLOG = 1024, FIRST_INHERITED = 3 };

static bool address_of(const char *path, struct sockaddr_un *a)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(a->sun_path))
        return false;
    strcpy(a->sun_path, path);
    return true;
}

/* 0: the path is free now. A file that is no socket is never removed. */
static int clear_path(const struct sockaddr_un *a)
{
    struct stat st;
    int fd, connected, error;

    if (lstat(a->sun_path, &st) != 0)
        return errno == ENOENT ? 0 : -1;
    if (!S_ISSOCK(st.st_mode)) {
        errno = ENOTSOCK;
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    connected = connect(fd, (const struct sockaddr *)a, sizeof(*a));
    error = errno;
    close(fd);
    if (connected == 0 || error != ECONNREFUSED) {
        errno = connected == 0 ? EADDRINUSE : error;
        return -1;
    }
    return unlink(a->sun_path);
}

/* The socket is made with its mode, which no path is followed to set, and looked at: an option that cannot be honoured is an error. */
static int bind_with_mode(int fd, const struct sockaddr_un *a, mode_t mode)
{
    mode_t old = umask(0777 & ~mode);
    int bound = bind(fd, (const struct sockaddr *)a, sizeof(*a));
    struct stat st;

    umask(old);
    if (bound != 0 || lstat(a->sun_path, &st) != 0)
        return -1;
    if (!S_ISSOCK(st.st_mode) || (st.st_mode & 07777) != mode) {
        errno = EPERM;
        return -1;
    }
    return listen(fd, BACKLOG);
}

int kp_listen_open(const char *path, mode_t mode, char *why, size_t size)
{
    struct sockaddr_un a;
    int fd = -1;

    errno = ENAMETOOLONG;
    if (address_of(path, &a) && clear_path(&a) == 0)
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind_with_mode(fd, &a, mode) == 0)
        return fd;
    snprintf(why, size, "cannot listen on %s with mode %04o: %s", path, (unsigned)mode,
             errno == EADDRINUSE ? "another process answers there" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* sd_listen_fds(3): descriptors from 3 on, for this process, with names between colons. */
int kp_listen_inherited(const char *name)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    size_t length = strlen(name);
    int fds;

    if (!pid || !count || !names || strtol(pid, NULL, 10) != getpid())
        return -1;
    fds = (int)strtol(count, NULL, 10);
    for (int i = 0; i < fds; i++) {
        if (strncmp(names, name, length) == 0 && (names[length] == ':' || names[length] == '\0'))
            return FIRST_INHERITED + i;
        names = strchr(names, ':');
        if (!names)
            break;
        names++;
    }
    return -1;
}

static bool read_peer(int fd, struct kp_peer *peer)
{
    struct ucred cred;
    socklen_t length = sizeof(cred), groups = sizeof(peer->groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) != 0)
        return false;
    peer->pid = cred.pid;
    peer->uid = cred.uid;
    peer->gid = cred.gid;
    /* More groups than we keep: none of them, rather than some. A rule by group then does not match. */
    peer->count = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &groups) == 0)
        peer->count = (uint32_t)(groups / sizeof(peer->groups[0]));
    return true;
}

static void admit(int fd, enum kp_kind kind)
{
    static struct kp_rate refused;
    struct kp_peer peer = {.uid = (uid_t)-1};
    const char *refusal = NULL;

    if (!read_peer(fd, &peer))
        refusal = "no credentials";
    else if (kind == KP_AGENT && peer.uid != 0 && peer.uid != geteuid())
        refusal = "not the owner";
    else if (kp_conn_new(kind, fd, &peer))
        return;
    close(fd);
    kp_log_rated(&refused, "warn", "connection_refused", "\"socket\":\"%s\",\"uid\":%u,\"why\":\"%s\"",
                 kind == KP_AGENT ? "control" : "pkcs11", (unsigned)peer.uid, refusal ? refusal : "too many");
}

bool kp_listen_accept(int fd, enum kp_kind kind)
{
    int peer;

    while ((peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        admit(peer, kind);
    return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
}
