#include "login.h"

#include "call.h"
#include "crypt.h"
#include "former.h"
#include "presence.h"
#include "slot.h"

enum { LABEL_BYTES = 32 };

static void write_pin(struct sk_call *c, const CK_UTF8CHAR *pin, CK_ULONG length)
{
    if (pin)
        wire_write_bytes(&c->w, pin, length);
    else
        wire_write_absent(&c->w);
}

static CK_RV send_login(struct sk_entry *e, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG pin_len, uint64_t key)
{
    struct sk_call c;

    sk_call_begin(&c, e, WIRE_login, 32 + pin_len);
    wire_write_u64(&c.w, e->session->slot);
    wire_write_u64(&c.w, user);
    write_pin(&c, pin, pin_len);
    wire_write_u64(&c.w, key);
    return sk_call_simple(&c);
}

static CK_RV login_for_key(struct sk_entry *e, const CK_UTF8CHAR *pin, CK_ULONG pin_len)
{
    uint64_t key = sk_crypt_login_waiting(e->session);
    CK_RV rv;

    if (!key)
        return CKR_OPERATION_NOT_INITIALIZED;
    rv = send_login(e, CKU_CONTEXT_SPECIFIC, pin, pin_len, key);
    if (rv == CKR_OK)
        sk_crypt_login_done(e->session, key);
    return rv;
}

static CK_RV may_log_in(struct sk_entry *e, enum sk_login wanted)
{
    const struct sk_presence p = sk_presence_of(e->state, e->session->slot);

    if (p.login == wanted)
        return CKR_USER_ALREADY_LOGGED_IN;
    if (p.login != SK_LOGIN_NONE)
        return CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
    return wanted == SK_LOGIN_SO && p.read_only ? CKR_SESSION_READ_ONLY_EXISTS : CKR_OK;
}

CK_RV sk_login(struct sk_entry *e, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG pin_len)
{
    const enum sk_login wanted = user == CKU_SO ? SK_LOGIN_SO : SK_LOGIN_USER;
    CK_RV rv;

    if (user != CKU_SO && user != CKU_USER && user != CKU_CONTEXT_SPECIFIC)
        return CKR_USER_TYPE_INVALID;
    if (!pin && pin_len)
        return CKR_ARGUMENTS_BAD;
    if (pin_len > WIRE_PIN_MAX)
        return CKR_PIN_INCORRECT;
    if (user == CKU_CONTEXT_SPECIFIC)
        return login_for_key(e, pin, pin_len);
    rv = may_log_in(e, wanted);
    if (rv != CKR_OK)
        return rv;
    rv = send_login(e, user, pin, pin_len, 0);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        sk_presence_set(e->state, e->session->slot, wanted);
    return rv;
}

CK_RV sk_logout(struct sk_entry *e)
{
    CK_RV rv;

    if (sk_presence_of(e->state, e->session->slot).login == SK_LOGIN_NONE)
        return CKR_USER_NOT_LOGGED_IN;
    rv = sk_send_logout(e, e->session->slot, WIRE_DEADLINE_MS);
    if (rv == CKR_OK || rv == CKR_USER_NOT_LOGGED_IN) {
        sk_presence_set(e->state, e->session->slot, SK_LOGIN_NONE);
        sk_former_logout(e->state, e->session->slot);
    }
    return rv;
}

static CK_RV check_new_pin(const CK_UTF8CHAR *pin, CK_ULONG length)
{
    if (!pin && length)
        return CKR_ARGUMENTS_BAD;
    return length > WIRE_PIN_MAX ? CKR_PIN_LEN_RANGE : CKR_OK;
}

CK_RV sk_init_token(struct sk_entry *e, CK_SLOT_ID slot, const CK_UTF8CHAR *pin, CK_ULONG pin_len,
                    const CK_UTF8CHAR *label)
{
    struct sk_presence p = sk_presence_of(e->state, slot);
    struct sk_call c;
    CK_RV rv;

    if (!label || (!pin && pin_len))
        return CKR_ARGUMENTS_BAD;
    if (pin_len > WIRE_PIN_MAX)
        return CKR_PIN_LEN_RANGE;
    if (p.read_only + p.read_write)
        return CKR_SESSION_EXISTS;
    rv = sk_slot_check(e, slot, NULL);
    if (rv != CKR_OK && rv != CKR_TOKEN_NOT_RECOGNIZED)
        return rv;
    sk_call_begin(&c, e, WIRE_init_token, 16 + pin_len + LABEL_BYTES);
    wire_write_u64(&c.w, slot);
    write_pin(&c, pin, pin_len);
    wire_write_bytes(&c.w, label, LABEL_BYTES);
    rv = sk_call_simple(&c);
    sk_slots_forget(e->state);
    return rv;
}

CK_RV sk_init_pin(struct sk_entry *e, const CK_UTF8CHAR *pin, CK_ULONG pin_len)
{
    CK_RV rv = check_new_pin(pin, pin_len);
    struct sk_call c;

    if (rv != CKR_OK)
        return rv;
    if (sk_presence_of(e->state, e->session->slot).login != SK_LOGIN_SO)
        return CKR_USER_NOT_LOGGED_IN;
    sk_call_begin(&c, e, WIRE_init_pin, 16 + pin_len);
    wire_write_u64(&c.w, e->session->slot);
    write_pin(&c, pin, pin_len);
    return sk_call_simple(&c);
}

CK_RV sk_set_pin(struct sk_entry *e, const CK_UTF8CHAR *old_pin, CK_ULONG old_len, const CK_UTF8CHAR *new_pin,
                 CK_ULONG new_len)
{
    CK_RV rv = check_new_pin(new_pin, new_len);
    struct sk_call c;

    if (rv == CKR_OK && !old_pin && old_len)
        rv = CKR_ARGUMENTS_BAD;
    if (rv != CKR_OK)
        return rv;
    if (old_len > WIRE_PIN_MAX)
        return CKR_PIN_INCORRECT;
    if (!e->session->read_write)
        return CKR_SESSION_READ_ONLY;
    sk_call_begin(&c, e, WIRE_set_pin, 32 + old_len + new_len);
    wire_write_u64(&c.w, e->session->slot);
    wire_write_u64(&c.w, sk_presence_of(e->state, e->session->slot).login == SK_LOGIN_SO ? CKU_SO : CKU_USER);
    write_pin(&c, old_pin, old_len);
    write_pin(&c, new_pin, new_len);
    return sk_call_simple(&c);
}
