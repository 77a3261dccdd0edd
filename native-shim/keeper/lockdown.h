/* What the keeper gives up before it serves anyone: cores, being traced, files, network, new programs. */
#ifndef SIDEKEY_KEEPER_LOCKDOWN_H
#define SIDEKEY_KEEPER_LOCKDOWN_H

/* First of all: no core, not dumpable, no new privileges; every descriptor but 0..2 and `keep` closed. 0, or -1. */
int kp_lockdown_early(int keep);

/* The last step: the filter, for all threads. Any call that is not on the list kills the process. 0, or -1. */
int kp_lockdown_filter(void);

#endif
