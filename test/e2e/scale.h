/* What the parts of the hard host share: scale.c says what it is for. */
#ifndef SIDEKEY_SCALE_H
#define SIDEKEY_SCALE_H

#include <p11-kit/pkcs11.h>

enum { BLOCK = 16 };

/* The module, its arguments, and one mechanism that all use. */
extern CK_FUNCTION_LIST_PTR p11;
extern const char *path, *pin;
extern long count;
extern CK_BBOOL yes, no;
extern CK_MECHANISM cbc;

/* Ends the program with a line on stdout unless that was what was wanted. */
#define MUST(call, wanted) must(#call, call, wanted)
void must(const char *what, CK_RV got, CK_RV wanted);
void check(int good, const char *what, long found, long wanted);

/* scale-host.c: what any program with PKCS#11 does. */
long descriptors(void);
void *load(void);
CK_SLOT_ID first_slot(void);
CK_SESSION_HANDLE open_session(CK_SLOT_ID slot);
CK_SESSION_HANDLE log_in(void);
CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE s, const char *label);
void encrypt(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key);
long find_label(CK_SESSION_HANDLE s, const char *label, CK_OBJECT_HANDLE *key);

/* scale-processes.c */
void run_fork(void);
void run_close(void);
void run_exit(void);
void run_exec(void);
void run_processes(void);

#endif
