/* CKM_TLS_MAC (PKCS#11 3.1, 6.38.8; RFC 5246, 7.4.9): what a Finished message holds, of the hash of the handshake. */
#include "../crypto.h"
#include "engine.h"
#include "mechanism.h"

enum { DATA_MAX = 512, CODE_MAX = 64, FROM_SERVER = 1 };

static int tls_mac_begin(struct kp_op *op, const struct wire_params *p)
{
    op->tag = p->bits;
    op->from_server = p->part == FROM_SERVER;
    op->hash = p->hash;
    return kp_md_of_mechanism(p->hash) ? STATUS_ok : STATUS_mechanism_param_invalid;
}

static int tls_mac_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    return kp_gather(op, in, DATA_MAX);
}

static int tls_mac_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    const char *label = op->from_server ? "server finished" : "client finished"; /* of one length */
    struct wire_bytes seed[3] = {{NULL, 0}};
    uint8_t code[CODE_MAX];
    int status = kp_gathered(op, in, DATA_MAX, &seed[0]);

    if (status == STATUS_ok)
        status = kp_tls_prf(op->hash, op->key->secret, (struct wire_bytes){(const uint8_t *)label, 15}, seed, code, op->tag);
    if (status == STATUS_ok)
        status = kp_mac_end(op, code, op->tag, signature, out);
    wire_wipe(code, sizeof(code));
    return status;
}

const struct kp_engine kp_engine_tls_mac = {tls_mac_begin, tls_mac_update, tls_mac_finish, kp_tag_describe, false};
