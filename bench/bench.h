/* What the parts of the benchmark share: what is measured, by whom, and how it is reported. */
#ifndef SIDEKEY_BENCH_H
#define SIDEKEY_BENCH_H

#include <p11-kit/pkcs11.h>
#include <stddef.h>
#include <stdint.h>

enum { PIECE = 1 << 20, LONG = 64 << 20, THREADS_MAX = 64, SAMPLES_MAX = 1 << 20 };

typedef CK_RV (*operation)(CK_SESSION_HANDLE session, size_t size);

/* NULL: this row cannot be measured that way. */
struct row {
    const char *name;
    size_t size;
    operation module, raw;
};

/* The module under test, its token, and the keys of this process; p11 is NULL while OpenSSL alone is measured. */
extern CK_FUNCTION_LIST_PTR p11;
extern CK_SLOT_ID slot;
extern CK_OBJECT_HANDLE aes, mac, rsa_private, ec_private;
extern CK_BBOOL yes, no;

/* The data of the calling thread, PIECE bytes, and room for what comes of it. */
extern __thread unsigned char *in, *out;

uint64_t now_ns(void);

/* Says on stderr what failed; whether it did not. */
int must(const char *what, CK_RV rv);

/* module.c, raw.c */
CK_RV do_gcm(CK_SESSION_HANDLE s, size_t size);
CK_RV do_gcm_long(CK_SESSION_HANDLE s, size_t size);
CK_RV do_cbc(CK_SESSION_HANDLE s, size_t size);
CK_RV do_hmac(CK_SESSION_HANDLE s, size_t size);
CK_RV do_ecdsa(CK_SESSION_HANDLE s, size_t size);
CK_RV do_rsa(CK_SESSION_HANDLE s, size_t size);
CK_RV do_pss(CK_SESSION_HANDLE s, size_t size);
CK_RV do_digest(CK_SESSION_HANDLE s, size_t size);
CK_RV do_random(CK_SESSION_HANDLE s, size_t size);
CK_RV do_session(CK_SESSION_HANDLE s, size_t size);
CK_RV do_find(CK_SESSION_HANDLE s, size_t size);
CK_RV do_find_new(CK_SESSION_HANDLE s, size_t size);
CK_RV do_attributes(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_gcm(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_cbc(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_hmac(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_digest(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_random(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_rsa_pkcs(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_pss(CK_SESSION_HANDLE s, size_t size);
CK_RV raw_ecdsa(CK_SESSION_HANDLE s, size_t size);
int raw_make_keys(void);

/* token.c: false after a message on stderr. */
int load(const char *path);
int find_token(const char *label);
int log_in(const char *pin, const char *label, CK_SESSION_HANDLE *s);
int make_keys(CK_SESSION_HANDLE s);

/* measure.c: one line of JSON on stdout each. */
void measure_row(const struct row *row, operation op, double seconds, int threads);
void measure_roundtrip(double seconds);

/* once.c: the commands that measure something else than a row. Status of the program. */
int populate(char **argv);
int first(char **argv);
int cells(char **argv);
int idle(char **argv);

#endif
