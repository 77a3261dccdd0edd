/*
 * A template as it travels: u32 count, then for each attribute u64 type and a byte string. The value of a nested template
 * (CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE) is a template again. Also: which attributes are secret key material, which the
 * keeper keeps from the agent.
 */
#ifndef SIDEKEY_WIRE_TEMPLATE_H
#define SIDEKEY_WIRE_TEMPLATE_H

#include "buffer.h"
#include "limits.h"

struct wire_attribute {
    uint64_t type; /* CKA_ */
    struct wire_bytes value;
};

struct wire_template {
    struct wire_attribute at[WIRE_ATTRIBUTES_MAX];
    uint32_t count;
};

/* Reads a template; values are views into the reader's bytes. Makes the reader bad when the count is over the bound. */
void wire_read_template(struct wire_reader *r, struct wire_template *out);

/* begin, one write_bytes-like call per attribute, end: the count is filled in at the end. */
size_t wire_begin_template(struct wire_writer *w);
void wire_write_attribute(struct wire_writer *w, uint64_t type, const void *value, size_t length);
void wire_end_template(struct wire_writer *w, size_t mark, uint32_t count);

/* The first attribute of that type, or NULL. */
const struct wire_attribute *wire_template_find(const struct wire_template *t, uint64_t type);

/* Whether an attribute of an object of this class (CKO_) is secret: CKA_VALUE of a secret key; the private parts of a
 * private key. */
bool wire_attribute_is_material(uint64_t object_class, uint64_t type);

#endif
