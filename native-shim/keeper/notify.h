/* What systemd is told (sd_notify(3)): that the keeper serves, and that it still works. Without systemd it does nothing. */
#ifndef SIDEKEY_KEEPER_NOTIFY_H
#define SIDEKEY_KEEPER_NOTIFY_H

#include <stdint.h>

/* Before the filter: connects to $NOTIFY_SOCKET, if there is one. */
void kp_notify_open(void);

/* Waits for systemd to take it. */
void kp_notify_ready(void);

/* Does not wait: a service manager that does not read must not stop the keeper. */
void kp_notify_alive(void);

/* WatchdogSec= in microseconds; 0: nobody watches this process. */
uint64_t kp_notify_watchdog_us(void);

#endif
