#include "find.h"

#include "call.h"
#include "former.h"
#include "reply.h"
#include "template.h"

#include <stdlib.h>

void sk_find_clear(struct sk_find *f)
{
    if (f->template)
        wire_wipe(f->template, f->template_length); /* searches by CKA_VALUE exist */
    free(f->template);
    free(f->handles);
    *f = (struct sk_find){0};
}

/* One more page. The cursor is this thread's while it is busy. */
static CK_RV fetch(struct sk_entry *e, struct sk_find *f)
{
    struct sk_call c;
    CK_RV rv;

    free(f->handles);
    f->handles = NULL;
    f->count = f->at = 0;
    sk_call_begin(&c, e, WIRE_find, 32 + f->template_length);
    sk_call_place(&c);
    wire_write_u64(&c.w, f->after);
    wire_write_raw(&c.w, f->template, f->template_length);
    rv = sk_call_run_kept(&c);
    if (rv == CKR_OK) {
        f->handles = sk_reply_handles(&c.r, f->after, &f->more, &f->count);
        rv = sk_call_finish(&c);
    }
    if (rv == CKR_OK && f->count) {
        f->after = f->handles[f->count - 1];
        sk_former_told(e, f->handles, f->count);
    }
    if (rv != CKR_OK)
        f->count = 0;
    sk_call_end(&c);
    return rv;
}

static CK_RV pack(struct sk_find *f, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    size_t room = sk_template_room(attributes, count);
    struct wire_writer w;
    CK_RV rv;

    f->template = malloc(room);
    if (!f->template)
        return CKR_HOST_MEMORY;
    wire_writer_init(&w, f->template, room);
    rv = sk_template_write(&w, attributes, count, SK_PART_ALL);
    f->template_length = wire_written(&w);
    return rv == CKR_OK && w.full ? CKR_ATTRIBUTE_VALUE_INVALID : rv;
}

CK_RV sk_find_init(struct sk_entry *e, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct sk_session *s = e->session;
    struct sk_find fresh = {0};
    CK_RV rv = CKR_OK;

    pthread_mutex_lock(&s->lock);
    if (s->find.active)
        rv = CKR_OPERATION_ACTIVE;
    pthread_mutex_unlock(&s->lock);
    if (rv == CKR_OK)
        rv = pack(&fresh, attributes, count);
    if (rv == CKR_OK)
        rv = fetch(e, &fresh);
    pthread_mutex_lock(&s->lock);
    if (rv == CKR_OK && s->find.active)
        rv = CKR_OPERATION_ACTIVE;
    if (rv == CKR_OK) {
        s->find = fresh;
        s->find.active = true;
        fresh = (struct sk_find){0};
    }
    pthread_mutex_unlock(&s->lock);
    sk_find_clear(&fresh);
    return rv;
}

static CK_RV take(struct sk_session *s)
{
    CK_RV rv = CKR_OK;

    pthread_mutex_lock(&s->lock);
    if (!s->find.active)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    else if (s->find.busy)
        rv = CKR_OPERATION_ACTIVE;
    else
        s->find.busy = true;
    pthread_mutex_unlock(&s->lock);
    return rv;
}

static void give_back(struct sk_session *s)
{
    pthread_mutex_lock(&s->lock);
    s->find.busy = false;
    pthread_mutex_unlock(&s->lock);
}

CK_RV sk_find_next(struct sk_entry *e, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *count)
{
    struct sk_find *f = &e->session->find;
    CK_ULONG n = 0;
    CK_RV rv;

    if (!count || (max && !out))
        return CKR_ARGUMENTS_BAD;
    rv = take(e->session);
    if (rv != CKR_OK)
        return rv;
    while (rv == CKR_OK && n < max && (f->at < f->count || f->more)) {
        if (f->at == f->count)
            rv = fetch(e, f);
        while (n < max && f->at < f->count)
            out[n++] = f->handles[f->at++];
    }
    give_back(e->session);
    *count = n;
    return rv;
}

CK_RV sk_find_final(struct sk_entry *e)
{
    CK_RV rv = take(e->session);

    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&e->session->lock);
    sk_find_clear(&e->session->find);
    pthread_mutex_unlock(&e->session->lock);
    return CKR_OK;
}
