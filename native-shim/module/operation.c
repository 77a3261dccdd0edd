#include "operation.h"

#include <stdlib.h>

void sk_operation_clear(struct sk_operation *op)
{
    sk_mechanism_clear(&op->mechanism);
    if (op->result)
        wire_wipe(op->result, op->result_length);
    free(op->result);
    free(op->signature);
    *op = (struct sk_operation){0};
}
