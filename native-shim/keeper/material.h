/* Secret components on their way between module and agent: cut out of `create` and `password_key`, put into the answer of `get_attributes`. */
#ifndef SIDEKEY_KEEPER_MATERIAL_H
#define SIDEKEY_KEEPER_MATERIAL_H

#include "park.h"

/* Keeps the material of such a body with the parked request, and what the agent is to see as its body. kp_lock held. */
int kp_material_cut(struct kp_parked *p, struct wire_bytes body);

/* Rewrites the agent's answer: the reveal cell becomes the components that are marked as material. Takes kp_lock. */
int kp_material_put(struct wire_bytes reply, struct wire_writer *w);

/* The components of a cell_import: what the agent gave and, when `id` is not 0, the material of that routed request, which is
 * taken. `*material` is frame memory of `*length` that the template points into: for kp_frame_free after use. */
int kp_material_join(uint64_t id, struct wire_template *t, uint8_t **material, size_t *length);

#endif
