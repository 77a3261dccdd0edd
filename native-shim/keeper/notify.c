#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

enum { WATCHDOG_MAX_S = 86400 };

static int fd = -1;

void kp_notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t length;

    if (!path || strlen(path) >= sizeof(a.sun_path))
        return;
    strcpy(a.sun_path, path);
    length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (a.sun_path[0] == '@')
        a.sun_path[0] = '\0'; /* an abstract name */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, length) == 0)
        return;
    close(fd);
    fd = -1;
}

static void tell(const char *message, int flags)
{
    static struct kp_rate failed;

    if (fd >= 0 && send(fd, message, strlen(message), MSG_NOSIGNAL | flags) < 0)
        kp_log_rated(&failed, "warn", "notify_failed", "\"errno\":%d", errno);
}

void kp_notify_ready(void) { tell("READY=1", 0); }

void kp_notify_alive(void) { tell("WATCHDOG=1", MSG_DONTWAIT); }

/* 0 for anything but a number from 1 to `max`. */
static uint64_t number_of(const char *text, uint64_t max)
{
    unsigned long long n;
    char *end;

    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    n = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && n <= max ? n : 0;
}

/* WATCHDOG_PID names the process that is meant: the variables are inherited by children. */
uint64_t kp_notify_watchdog_us(void)
{
    const char *pid = getenv("WATCHDOG_PID");

    if (fd < 0 || (pid && number_of(pid, INT32_MAX) != (uint64_t)getpid()))
        return 0;
    return number_of(getenv("WATCHDOG_USEC"), WATCHDOG_MAX_S * UINT64_C(1000000));
}
