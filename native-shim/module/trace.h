/*
 * SIDEKEY_TRACE=FILE: one line per call with names, lengths and handles. Never a value: no PIN, no data, no attribute.
 */
#ifndef SIDEKEY_MODULE_TRACE_H
#define SIDEKEY_MODULE_TRACE_H

#include "guard.h"

void sk_trace_open(struct sk_descriptor *trace);
void sk_trace_call(const struct sk_entry *e, CK_RV rv);

#endif
