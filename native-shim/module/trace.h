/*
 * SIDEKEY_TRACE=FILE: one line per call with names, lengths and handles. Never a value: no PIN, no data, no attribute.
 */
#ifndef SIDEKEY_MODULE_TRACE_H
#define SIDEKEY_MODULE_TRACE_H

#include "connection.h"
#include "guard.h"

void sk_trace_open(struct sk_descriptor *trace);
void sk_trace_call(const struct sk_entry *e, CK_RV rv);

/* The keeper speaks no version of the frame that we do. `trace` may be NULL; `theirs` 0: it named none. */
void sk_trace_version(const struct sk_descriptor *trace, uint32_t theirs);

/* No service was reached, where and why. `trace` may be NULL. */
void sk_trace_absence(const struct sk_descriptor *trace, const struct sk_absence *absence);

#endif
