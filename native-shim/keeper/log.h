/*
 * One JSON line per event on stderr. Events are few and never hold a secret, a PIN or application data; text from
 * outside goes through kp_json.
 */
#ifndef SIDEKEY_KEEPER_LOG_H
#define SIDEKEY_KEEPER_LOG_H

#include <stddef.h>

/* `format` gives further members of the object, such as "\"pid\":%d"; empty for none. A line that is too long is cut to
 * its event. */
void kp_log(const char *level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Writes `text` as a JSON string, quotes included, cut to fit. Returns `out`. */
const char *kp_json(const char *text, size_t length, char *out, size_t size);

#endif
