#include "random.h"

#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

CK_RV sk_random(struct sk_entry *e, CK_BYTE *out, CK_ULONG length)
{
    e->in = length;
    if (!out && length)
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG at = 0; at < length;) {
        ssize_t got = syscall(SYS_getrandom, out + at, length - at, 0);

        if (got < 0 && errno != EINTR)
            return CKR_DEVICE_ERROR;
        at += got > 0 ? (CK_ULONG)got : 0;
    }
    return CKR_OK;
}

CK_RV sk_seed(const CK_BYTE *seed, CK_ULONG length)
{
    struct sk_descriptor d;
    CK_RV rv = CKR_OK;

    if (!seed && length)
        return CKR_ARGUMENTS_BAD;
    if (!sk_descriptor_take(&d, open("/dev/urandom", O_WRONLY | O_CLOEXEC)))
        return CKR_RANDOM_SEED_NOT_SUPPORTED;
    for (CK_ULONG at = 0; at < length && rv == CKR_OK;) {
        ssize_t put = write(d.fd, seed + at, length - at);

        if (put < 0 && errno != EINTR)
            rv = CKR_RANDOM_SEED_NOT_SUPPORTED;
        at += put > 0 ? (CK_ULONG)put : 0;
    }
    sk_descriptor_close(&d);
    return rv;
}
