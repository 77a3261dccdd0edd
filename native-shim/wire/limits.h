/*
 * Every bound that module, keeper and agent agree on. src/wire/tables.ts repeats them for the agent;
 * test/wire/tables.test.ts compares the two.
 */
#ifndef SIDEKEY_WIRE_LIMITS_H
#define SIDEKEY_WIRE_LIMITS_H

/* The versions of the frame that are spoken: the current one, and the one before for one release (ARCHITECTURE.md,
 * "Versions"). Tests build other pairs. */
#ifndef WIRE_VERSION
#define WIRE_VERSION 2
#endif
#ifndef WIRE_VERSION_OLDEST
#define WIRE_VERSION_OLDEST 1
#endif

enum {
    WIRE_HEADER_BYTES = 32,
    WIRE_DATA_MAX = 65536,         /* application data in one frame; more is streamed */
    WIRE_BODY_MAX = 98304,         /* data and everything else */
    WIRE_PARAMS_MAX = 16384,       /* one encoded mechanism parameter, associated data included */
    WIRE_ATTRIBUTES_MAX = 128,     /* attributes in one template */
    WIRE_TEMPLATE_DEPTH_MAX = 2,   /* a template, and CKA_WRAP_TEMPLATE or another nested one in it */
    WIRE_COMPONENT_MAX = 4096,     /* one secret key; one secret component of RSA or a curve */
    WIRE_SIGNATURE_MAX = 49856,    /* one signature: SLH-DSA's longest; with the data beside it at most WIRE_DATA_MAX */
    WIRE_MATERIAL_MAX = 16384,     /* all secret components of one key */
    WIRE_PIN_MAX = 255,
    WIRE_NOTE_MAX = 24576,         /* what the agent asks the keeper to remember about a cell or a client */
    WIRE_BLOB_MAX = 20480,         /* one sealed key */
    WIRE_AAD_MAX = 65536,          /* associated data of a sealed key */
    WIRE_FIND_MAX = 4096,          /* handles in one find reply */
    WIRE_BIND_MECHANISMS_MAX = 64, /* CKA_ALLOWED_MECHANISMS of one binding */
    WIRE_MANY_MAX = 64,            /* operations in one frame */
    WIRE_MANY_TURN_US = 1000,      /* how long a worker goes on beginning them */
    WIRE_DEADLINE_MS = 10000,      /* for every local call */
    WIRE_GENERATE_DEADLINE_MS = 180000 /* except for generating key pairs or domain parameters, and PBKDF2 */
};

#endif
