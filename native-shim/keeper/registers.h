/* What was worked with last stands in the processor's registers while a thread sleeps, and a core has the registers of all threads. */
#ifndef SIDEKEY_KEEPER_REGISTERS_H
#define SIDEKEY_KEEPER_REGISTERS_H

/* Zeros in every vector register that the processor has, and in those that a call need not keep. */
void kp_registers_wipe(void);

#endif
