/*
 * EC, Edwards and Montgomery keys from and to components. Curves are named by OID, and for Edwards and Montgomery keys
 * also by PrintableString (PKCS#11 3.1, 6.3.3); points come as DER OCTET STRING or bare, and go as DER.
 */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <string.h>

#include "crypto.h"
#include "cryptoki.h"
#include "key_kinds.h"

enum { POINT_MAX = 133, SCALAR_MAX = 66 };

struct curve {
    uint64_t type;
    int nid;
    const char *name; /* OpenSSL's group, or the raw key's type */
    const char *oid; /* DER: what the keeper writes */
    size_t oid_length;
    const char *text;  /* as a PrintableString; NULL where PKCS#11 gives the curve none */
    const char *older; /* DER of the OID that it had before RFC 8410 */
    size_t older_length;
    size_t scalar; /* bytes */
};

/* Those below 224 bits are for keys that there are already, as RSA's of 1024 bits are: programs' own tests make them as well. */
static const struct curve curves[] = {
    {CKK_EC, NID_X9_62_prime256v1, "P-256", "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10, NULL, NULL, 0, 32},
    {CKK_EC, NID_secp384r1, "P-384", "\x06\x05\x2b\x81\x04\x00\x22", 7, NULL, NULL, 0, 48},
    {CKK_EC, NID_secp521r1, "P-521", "\x06\x05\x2b\x81\x04\x00\x23", 7, NULL, NULL, 0, 66},
    {CKK_EC, NID_secp224r1, "P-224", "\x06\x05\x2b\x81\x04\x00\x21", 7, NULL, NULL, 0, 28},
    {CKK_EC, NID_secp256k1, "secp256k1", "\x06\x05\x2b\x81\x04\x00\x0a", 7, NULL, NULL, 0, 32},
    {CKK_EC, NID_brainpoolP256r1, "brainpoolP256r1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x07", 11, NULL, NULL, 0, 32},
    {CKK_EC, NID_brainpoolP384r1, "brainpoolP384r1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0b", 11, NULL, NULL, 0, 48},
    {CKK_EC, NID_brainpoolP512r1, "brainpoolP512r1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0d", 11, NULL, NULL, 0, 64},
    {CKK_EC, NID_brainpoolP224r1, "brainpoolP224r1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x05", 11, NULL, NULL, 0, 28},
    {CKK_EC, NID_brainpoolP224t1, "brainpoolP224t1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x06", 11, NULL, NULL, 0, 28},
    {CKK_EC, NID_brainpoolP256t1, "brainpoolP256t1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x08", 11, NULL, NULL, 0, 32},
    {CKK_EC, NID_brainpoolP320r1, "brainpoolP320r1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x09", 11, NULL, NULL, 0, 40},
    {CKK_EC, NID_brainpoolP320t1, "brainpoolP320t1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0a", 11, NULL, NULL, 0, 40},
    {CKK_EC, NID_brainpoolP384t1, "brainpoolP384t1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0c", 11, NULL, NULL, 0, 48},
    {CKK_EC, NID_brainpoolP512t1, "brainpoolP512t1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0e", 11, NULL, NULL, 0, 64},
    {CKK_EC, NID_X9_62_prime192v1, "P-192", "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01", 10, NULL, NULL, 0, 24},
    {CKK_EC, NID_brainpoolP192r1, "brainpoolP192r1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x03", 11, NULL, NULL, 0, 24},
    {CKK_EC, NID_brainpoolP192t1, "brainpoolP192t1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x04", 11, NULL, NULL, 0, 24},
    {CKK_EC, NID_brainpoolP160r1, "brainpoolP160r1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x01", 11, NULL, NULL, 0, 20},
    {CKK_EC, NID_brainpoolP160t1, "brainpoolP160t1", "\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x02", 11, NULL, NULL, 0, 20},
    {CKK_EC_EDWARDS, NID_ED448, "ED448", "\x06\x03\x2b\x65\x71", 5, "edwards448", NULL, 0, 57},
    {CKK_EC_MONTGOMERY, NID_X448, "X448", "\x06\x03\x2b\x65\x6f", 5, "curve448", NULL, 0, 56},
    {CKK_EC_EDWARDS, NID_ED25519, "ED25519", "\x06\x03\x2b\x65\x70", 5, "edwards25519",
     "\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01", 11, 32},
    {CKK_EC_MONTGOMERY, NID_X25519, "X25519", "\x06\x03\x2b\x65\x6e", 5, "curve25519",
     "\x06\x0a\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01", 12, 32},
};
enum { CURVES = sizeof(curves) / sizeof(curves[0]) };

static bool is_oid(struct wire_bytes value, const char *der, size_t length)
{
    return length && value.length == length && memcmp(value.data, der, length) == 0;
}

/* The length byte is not looked at: pkcs11-tool 0.23 sends 11 for the ten letters of curve25519. */
static bool is_text(struct wire_bytes value, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    return length && value.length == length + 2 && value.data[0] == 0x13 && memcmp(value.data + 2, text, length) == 0;
}

static bool names(struct wire_bytes value, const struct curve *c)
{
    return is_oid(value, c->oid, c->oid_length) || is_oid(value, c->older, c->older_length) || is_text(value, c->text);
}

/* An OBJECT IDENTIFIER or a PrintableString, and nothing behind it. */
static bool is_name(struct wire_bytes value)
{
    return value.length > 2 && (value.data[0] == 0x06 || value.data[0] == 0x13) && value.data[1] == value.length - 2;
}

static int find_curve(uint64_t type, const struct wire_template *t, const struct curve **out)
{
    const struct wire_attribute *a = wire_template_find(t, CKA_EC_PARAMS);

    if (!a)
        return STATUS_template_incomplete;
    for (size_t i = 0; i < CURVES; i++) {
        const struct curve *c = &curves[i];

        if (c->type == type && names(a->value, c)) {
            *out = c;
            return STATUS_ok;
        }
    }
    return is_name(a->value) ? STATUS_curve_not_supported : STATUS_domain_params_invalid;
}

static const struct curve *curve_of(const EVP_PKEY *pkey)
{
    char group[32] = "";
    size_t length;

    for (size_t i = 0; i < CURVES; i++)
        if (EVP_PKEY_is_a(pkey, curves[i].name))
            return &curves[i];
    if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof(group), &length) != 1)
        return NULL;
    for (size_t i = 0; i < CURVES; i++)
        if (OBJ_txt2nid(group) == curves[i].nid)
            return &curves[i];
    return NULL;
}

uint64_t kp_key_type_of(const EVP_PKEY *pkey)
{
    const struct curve *c = curve_of(pkey);
    uint64_t type = c ? c->type : EVP_PKEY_is_a(pkey, "RSA") ? CKK_RSA : kp_ffc_type_of(pkey);

    return type == CKK_NONE ? kp_pq_type_of(pkey) : type;
}

/* Whether the length is that of a point of the curve: compressed, uncompressed, or the raw bytes. */
static bool is_point_length(const struct curve *c, size_t length)
{
    return c->type == CKK_EC ? length == 1 + c->scalar || length == 1 + 2 * c->scalar : length == c->scalar;
}

/*
 * The point inside a DER OCTET STRING of short or one-byte long form; the value itself when it is none. The length
 * decides first: an uncompressed point begins with the tag of an OCTET STRING, and one in 256 goes on with its length.
 */
static struct wire_bytes bare_point(const struct curve *c, struct wire_bytes v)
{
    size_t head = v.length >= 3 && v.data[1] == 0x81 ? 3 : 2;

    if (is_point_length(c, v.length) || v.length < head || v.data[0] != 0x04 || v.data[head - 1] != v.length - head ||
        (head == 2 && v.data[1] >= 0x80))
        return v;
    return (struct wire_bytes){v.data + head, v.length - head};
}

/* The public point of a private scalar. `point` has POINT_MAX bytes. */
static size_t public_point(const struct curve *c, const BIGNUM *scalar, uint8_t *point)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(c->nid);
    EC_POINT *p = group ? EC_POINT_new(group) : NULL;
    size_t length = 0;

    if (p && !BN_is_zero(scalar) && BN_cmp(scalar, EC_GROUP_get0_order(group)) < 0 &&
        EC_POINT_mul(group, p, scalar, NULL, NULL, NULL) == 1)
        length = EC_POINT_point2oct(group, p, POINT_CONVERSION_UNCOMPRESSED, point, POINT_MAX, NULL);
    EC_POINT_free(p);
    EC_GROUP_free(group);
    return length;
}

static int build(const struct curve *c, BIGNUM *scalar, struct wire_bytes point, EVP_PKEY **out)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    bool ok = bld && ctx && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, c->name, 0) == 1 &&
              OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.length) == 1;

    if (ok && scalar)
        ok = OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1;
    ok = ok && (params = OSSL_PARAM_BLD_to_param(bld)) && EVP_PKEY_fromdata_init(ctx) == 1 &&
         EVP_PKEY_fromdata(ctx, out, scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) == 1;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return ok ? STATUS_ok : STATUS_attribute_value_invalid;
}

static int import_private(const struct curve *c, struct wire_bytes value, EVP_PKEY **out)
{
    uint8_t point[POINT_MAX];
    BIGNUM *scalar;
    struct wire_bytes view = {point, 0};
    int status = STATUS_attribute_value_invalid;

    if (value.length == 0 || value.length > SCALAR_MAX + 1)
        return status;
    scalar = BN_bin2bn(value.data, (int)value.length, NULL);
    if (!scalar)
        return STATUS_memory;
    BN_set_flags(scalar, BN_FLG_CONSTTIME);
    view.length = public_point(c, scalar, point);
    if (view.length)
        status = build(c, scalar, view, out);
    BN_clear_free(scalar);
    return status;
}

/* fromdata takes a point in any form and, unlike EC_POINT_oct2point, not the wrong curve's: it checks the point. */
static int import_public(const struct curve *c, struct wire_bytes point, EVP_PKEY **out)
{
    int status = STATUS_attribute_value_invalid;
    EVP_PKEY_CTX *ctx;

    if (point.length == 0 || point.length > POINT_MAX)
        return status;
    status = build(c, NULL, point, out);
    if (status != STATUS_ok)
        return status;
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, *out, NULL);
    if (!ctx || EVP_PKEY_public_check(ctx) != 1) {
        EVP_PKEY_free(*out);
        *out = NULL;
        status = STATUS_attribute_value_invalid;
    }
    EVP_PKEY_CTX_free(ctx);
    return status;
}

static int import_raw(const struct curve *c, bool private, struct wire_bytes value, EVP_PKEY **out)
{
    if (value.length != c->scalar)
        return STATUS_attribute_value_invalid;
    *out = private ? EVP_PKEY_new_raw_private_key_ex(NULL, c->name, NULL, value.data, value.length)
                   : EVP_PKEY_new_raw_public_key_ex(NULL, c->name, NULL, value.data, value.length);
    return *out ? STATUS_ok : STATUS_attribute_value_invalid;
}

int kp_ec_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out)
{
    const struct wire_attribute *a = wire_template_find(t, private ? CKA_VALUE : CKA_EC_POINT);
    const struct curve *c = NULL;
    struct wire_bytes value;
    int status = find_curve(type, t, &c);

    if (status != STATUS_ok)
        return status;
    if (!a)
        return STATUS_template_incomplete;
    value = private ? a->value : bare_point(c, a->value);
    if (type != CKK_EC)
        return import_raw(c, private, value, out);
    return private ? import_private(c, value, out) : import_public(c, value, out);
}

int kp_ec_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out)
{
    const struct curve *c = NULL;
    EVP_PKEY_CTX *ctx;
    int status = find_curve(type, t, &c);

    if (status != STATUS_ok)
        return status;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type == CKK_EC ? "EC" : c->name, NULL);
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || (type == CKK_EC && EVP_PKEY_CTX_set_group_name(ctx, c->name) != 1) ||
        EVP_PKEY_generate(ctx, out) != 1)
        status = STATUS_internal;
    EVP_PKEY_CTX_free(ctx);
    return status;
}

static void write_point(const uint8_t *point, size_t length, struct wire_writer *w)
{
    size_t head = length < 0x80 ? 2 : 3;

    wire_write_u64(w, CKA_EC_POINT);
    wire_write_u32(w, (uint32_t)(head + length));
    wire_write_u8(w, 0x04);
    if (head == 3)
        wire_write_u8(w, 0x81);
    wire_write_u8(w, (uint8_t)length);
    wire_write_raw(w, point, length);
}

static bool private_value(const EVP_PKEY *pkey, const struct curve *c, uint8_t *bytes)
{
    size_t length = c->scalar;
    BIGNUM *scalar = NULL;
    bool ok;

    if (c->type != CKK_EC)
        return EVP_PKEY_get_raw_private_key(pkey, bytes, &length) == 1 && length == c->scalar;
    ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 &&
         BN_bn2binpad(scalar, bytes, (int)length) == (int)length;
    BN_clear_free(scalar);
    return ok;
}

int kp_ec_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w)
{
    const struct curve *c = curve_of(pkey);
    uint8_t point[POINT_MAX], value[SCALAR_MAX];
    size_t length = 0;
    bool good;

    if (!c || EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &length) != 1)
        return -1;
    wire_write_attribute(w, CKA_EC_PARAMS, c->oid, c->oid_length);
    write_point(point, length, w);
    if (!private)
        return 2;
    good = private_value(pkey, c, value);
    if (good)
        wire_write_attribute(w, CKA_VALUE, value, c->scalar);
    wire_wipe(value, sizeof(value));
    return good ? 3 : -1;
}
