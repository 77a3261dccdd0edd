#include "log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

enum { LINES_A_MINUTE = 20, MINUTE_MS = 60000 };

/* The day of the Gregorian calendar, `days` after 1970-01-01: gmtime would read the host's time zone, and there are no files. */
static void civil_day(long days, long *year, long *month, long *day)
{
    long era, of_era, year_of_era, of_year, shifted; /* years begin in March, eras have 400 of them */

    days += 719468;
    era = days / 146097;
    of_era = days - era * 146097;
    year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    shifted = (5 * of_year + 2) / 153;
    *day = of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

/* As the agent's log has it: 2026-11-23T08:43:39.045Z. */
static void write_time(char *text, size_t size)
{
    struct timespec now;
    long year, month, day, of_day;

    clock_gettime(CLOCK_REALTIME, &now);
    of_day = (long)(now.tv_sec % 86400);
    civil_day((long)(now.tv_sec / 86400), &year, &month, &day);
    snprintf(text, size, "%04ld-%02ld-%02ldT%02ld:%02ld:%02ld.%03ldZ", year, month, day, of_day / 3600, of_day / 60 % 60,
             of_day % 60, now.tv_nsec / 1000000);
}

static void write_line(const char *level, const char *event, uint64_t unlogged, const char *format, va_list arguments)
{
    char line[1024], more[768] = "", time[96], left_out[48] = "";
    int length = vsnprintf(more, sizeof(more), format, arguments);

    if (length < 0 || (size_t)length >= sizeof(more))
        more[0] = '\0';
    if (unlogged)
        snprintf(left_out, sizeof(left_out), ",\"unlogged\":%" PRIu64, unlogged);
    write_time(time, sizeof(time));
    length = snprintf(line, sizeof(line), "{\"level\":\"%s\",\"time\":\"%s\",\"name\":\"keeper\",\"event\":\"%s\"%s%s%s}\n",
                      level, time, event, *more ? "," : "", more, left_out);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* nobody listens: nothing else to do about it */
}

void kp_log(const char *level, const char *event, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(level, event, 0, format, arguments);
    va_end(arguments);
}

/* Whether a line may be written now, and how many before it were not. */
static bool may_log(struct kp_rate *rate, uint64_t *unlogged)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    uint64_t now = kp_now_ms();
    bool may;

    pthread_mutex_lock(&lock);
    if (!rate->since_ms || now - rate->since_ms >= MINUTE_MS) {
        rate->since_ms = now;
        rate->lines = 0;
    }
    may = rate->lines < LINES_A_MINUTE;
    *unlogged = may ? rate->unlogged : 0;
    if (may) {
        rate->lines++;
        rate->unlogged = 0;
    } else {
        rate->unlogged++;
    }
    pthread_mutex_unlock(&lock);
    return may;
}

void kp_log_rated(struct kp_rate *rate, const char *level, const char *event, const char *format, ...)
{
    va_list arguments;
    uint64_t unlogged;

    if (!may_log(rate, &unlogged))
        return;
    va_start(arguments, format);
    write_line(level, event, unlogged, format, arguments);
    va_end(arguments);
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
