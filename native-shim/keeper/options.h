/* The command line. */
#ifndef SIDEKEY_KEEPER_OPTIONS_H
#define SIDEKEY_KEEPER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct kp_options {
    const char *pkcs11, *control;
    mode_t mode;
    uint64_t linger_ms;
    unsigned workers, max_clients;
    bool memfd_secret;
};

/* Reads it. -1: go on; otherwise the exit code, everything having been said (help, version, mechanisms, a usage error). */
int kp_options_read(int argc, char **argv, struct kp_options *out);

#endif
