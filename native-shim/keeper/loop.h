/* One epoll set, a few threads with their stacks in the arena. Each event goes to one thread. */
#ifndef SIDEKEY_KEEPER_LOOP_H
#define SIDEKEY_KEEPER_LOOP_H

/* Makes the set, the timer and the threads, which wait: nothing is admitted before kp_loop_listen. 0, or -1 with errno. */
int kp_loop_open(unsigned workers);

/* Starts to admit connections from these sockets. */
int kp_loop_listen(int pkcs11_fd, int control_fd);

#endif
