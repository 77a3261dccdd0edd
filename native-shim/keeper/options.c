#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "key_pq.h"
#include "mechanism.h"
#include "state.h"

static const char help[] =
    "usage: sidekey-keeper --pkcs11 PATH --control PATH [options]\n"
    "\n"
    "Holds keys in locked memory and does cryptography with them, for the PKCS#11 module and the agent.\n"
    "\n"
    "  --pkcs11 PATH        socket of the module; with systemd socket activation the socket named pkcs11 is used\n"
    "  --control PATH       socket of the agent; admits root and the keeper's own uid alone (mode 0600)\n"
    "  --pkcs11-mode MODE   mode of the module's socket, octal (default 0600; 0666 lets every local process connect,\n"
    "                       and the agent's rules decide)\n"
    "  --linger SECONDS     end after so long without agent and clients (default 0: never)\n"
    "  --workers N          threads, 1 to 4 (default: cores, at least 2)\n"
    "  --max-clients N      connected processes, 1 to 4000 (default 2048)\n"
    "  --no-memfd-secret    lock memory with mlock even where memfd_secret can be had: weaker, for tests\n"
    "  --mechanisms         print the mechanism table as JSON and exit\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 ended as asked, 64 usage, 69 another keeper answers or a socket cannot be made,\n"
    "71 memory cannot be locked or the process not confined.\n";

enum { PKCS11 = 1, CONTROL, MODE, LINGER, WORKERS, MAX_CLIENTS, NO_SECRET, MECHANISMS, HELP, SHOW_VERSION };

static const struct option names[] = {
    {"pkcs11", required_argument, NULL, PKCS11},
    {"control", required_argument, NULL, CONTROL},
    {"pkcs11-mode", required_argument, NULL, MODE},
    {"linger", required_argument, NULL, LINGER},
    {"workers", required_argument, NULL, WORKERS},
    {"max-clients", required_argument, NULL, MAX_CLIENTS},
    {"no-memfd-secret", no_argument, NULL, NO_SECRET},
    {"mechanisms", no_argument, NULL, MECHANISMS},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, SHOW_VERSION},
    {NULL, 0, NULL, 0},
};

static int print_mechanisms(void)
{
    const char *comma = "";

    printf("[");
    for (size_t i = 0; i < wire_mechanisms_count; i++) {
        const struct wire_mechanism *m = &wire_mechanisms[i];

        printf("%s\n  {\"type\":%" PRIu64 ",\"name\":\"%s\",\"keyType\":", comma, m->type, m->name);
        if (m->key_type == UINT64_MAX)
            printf("null");
        else
            printf("%" PRIu64, m->key_type);
        printf(",\"flags\":%" PRIu32 ",\"min\":%" PRIu32 ",\"max\":%" PRIu32 ",\"standing\":%d,\"openssl\":\"%s\"}", m->flags,
               m->min, m->max, (int)m->standing, kp_mechanism_needs(m) ? kp_mechanism_needs(m) : "");
        comma = ",";
    }
    printf("\n]\n");
    return EX_OK;
}

static bool number(const char *text, int base, unsigned long min, unsigned long max, unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(text, &end, base);
    return errno == 0 && end != text && *end == '\0' && *text != '-' && *out >= min && *out <= max;
}

static int refuse(const char *option, const char *expected)
{
    fprintf(stderr, "sidekey-keeper: --%s: expected %s\n", option, expected);
    return EX_USAGE;
}

static int read_number(int option, const char *text, struct kp_options *o)
{
    unsigned long n;

    switch (option) {
    case MODE:
        if (!number(text, 8, 0, 0777, &n))
            return refuse("pkcs11-mode", "an octal mode, 0600 to 0777");
        o->mode = (mode_t)n;
        break;
    case LINGER:
        if (!number(text, 10, 0, 31536000, &n))
            return refuse("linger", "seconds");
        o->linger_ms = n * 1000;
        break;
    case WORKERS:
        if (!number(text, 10, 1, 4, &n))
            return refuse("workers", "1 to 4");
        o->workers = (unsigned)n;
        break;
    default:
        if (!number(text, 10, 1, 4000, &n))
            return refuse("max-clients", "1 to 4000");
        o->max_clients = (unsigned)n;
    }
    return -1;
}

static unsigned default_workers(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 2 ? 2 : cores > 4 ? 4 : (unsigned)cores;
}

static int read_one(int option, struct kp_options *o)
{
    switch (option) {
    case PKCS11:
        o->pkcs11 = optarg;
        return -1;
    case CONTROL:
        o->control = optarg;
        return -1;
    case NO_SECRET:
        o->memfd_secret = false;
        return -1;
    case MECHANISMS:
        return print_mechanisms();
    case HELP:
        fputs(help, stdout);
        return EX_OK;
    case SHOW_VERSION:
        printf("sidekey-keeper %s (wire %d to %d)\n", SIDEKEY_VERSION, WIRE_VERSION_OLDEST, WIRE_VERSION);
        return EX_OK;
    case '?':
        fputs(help, stderr);
        return EX_USAGE;
    default:
        return read_number(option, optarg, o);
    }
}

int kp_options_read(int argc, char **argv, struct kp_options *out)
{
    int option, end = -1;

    *out = (struct kp_options){.mode = 0600, .workers = default_workers(), .max_clients = 2048, .memfd_secret = true};
    while (end == -1 && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        end = read_one(option, out);
    if (end != -1)
        return end;
    if (optind == argc && out->pkcs11 && out->control)
        return -1;
    fputs(help, stderr);
    return EX_USAGE;
}
