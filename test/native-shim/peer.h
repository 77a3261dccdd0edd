/*
 * A stand-in for the keeper, in a thread of the test: a real server on a real Unix socket that reads every request to its
 * last byte, refuses what the contract does not allow, and can be told to misbehave. Also the test's TAP.
 */
#ifndef SIDEKEY_TEST_PEER_H
#define SIDEKEY_TEST_PEER_H

#include "../../native-shim/module/cryptoki32.h"
#include "../../native-shim/wire/frame.h"

#include <stdbool.h>
#include <stdint.h>

enum peer_fault {
    PEER_SOUND,
    PEER_SILENT,       /* reads and never answers */
    PEER_HANG_UP,      /* hangs up instead of answering, once */
    PEER_SHORT,        /* answers with the last byte of the body missing */
    PEER_LONG,         /* answers with one byte too many */
    PEER_GARBAGE,      /* answers with bytes that are no frame */
    PEER_WRONG_ID,     /* answers with somebody else's id, then soundly */
    PEER_WRONG_TYPE,   /* answers with another message's type */
    PEER_NEW_EPOCH,    /* answers soundly, with another epoch */
    PEER_STATUS        /* answers with peer_status */
};

/* Starts serving at the path that SIDEKEY_SOCKET then names. */
void peer_start(void);
/* Ends it: connections hang up, the socket goes. peer_start may follow. */
void peer_stop(void);

/* From now on, requests of that type (0: all) meet that fault. PEER_HANG_UP happens once. */
void peer_misbehave(enum peer_fault fault, uint16_t type);
extern uint16_t peer_status;
extern bool peer_login_needed;

/* Requests of a type since the last call; connections since the start. */
unsigned peer_count(uint16_t type);
unsigned peer_connections(void);
/* What the peer found wrong with the requests: 0. */
unsigned peer_complaints(void);

/* The objects that find gives: handles 1 to this. */
extern unsigned peer_objects;

/* TAP */
void ok(bool good, const char *name);
void is(unsigned long got, unsigned long wanted, const char *name);
int done_testing(void);

/* A module that is initialised, with a session and the user logged in. */
CK_FUNCTION_LIST *module_list(void);
CK_SESSION_HANDLE module_session(void);

long now_ms(void);

enum { PEER_KEY = 7, PEER_TAG = 16 };

#endif
