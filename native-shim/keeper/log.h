/*
 * One JSON line per event on stderr. Events are few and never hold a secret, a PIN or application data; text from
 * outside goes through kp_json.
 */
#ifndef SIDEKEY_KEEPER_LOG_H
#define SIDEKEY_KEEPER_LOG_H

#include <stddef.h>
#include <stdint.h>

/* `format` gives further members of the object, such as "\"pid\":%d"; empty for none. A line that is too long is cut to
 * its event. */
void kp_log(const char *level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for what clients cause, which must not fill a disk: so many lines a minute, and then one that says how many were
 * left out ("unlogged"). Each place has a static struct of its own. */
struct kp_rate {
    uint64_t since_ms;
    unsigned lines;
    uint64_t unlogged;
};
void kp_log_rated(struct kp_rate *rate, const char *level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Writes `text` as a JSON string, quotes included, cut to fit. Returns `out`. */
const char *kp_json(const char *text, size_t length, char *out, size_t size);

#endif
