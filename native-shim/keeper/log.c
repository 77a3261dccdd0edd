#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void kp_log(const char *level, const char *event, const char *format, ...)
{
    char line[1024], more[768] = "";
    struct timespec now;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(more, sizeof(more), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(more))
        more[0] = '\0';
    clock_gettime(CLOCK_REALTIME, &now);
    length = snprintf(line, sizeof(line), "{\"level\":\"%s\",\"time\":%lld%03ld,\"name\":\"keeper\",\"event\":\"%s\"%s%s}\n",
                      level, (long long)now.tv_sec, now.tv_nsec / 1000000, event, *more ? "," : "", more);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* nobody listens: nothing else to do about it */
}

const char *kp_json(const char *text, size_t length, char *out, size_t size)
{
    size_t at = 0;

    out[at++] = '"';
    for (size_t i = 0; i < length && at + 8 < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            at += (size_t)snprintf(out + at, size - at, "\\u%04x", c);
        else
            out[at++] = (char)c;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
