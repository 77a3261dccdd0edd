# python-pkcs11 as scripts use it: what each program in this folder does, in its own words. Arguments: module, token, PIN. One line of JSON.
import json
import sys
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass, PinIncorrect, lib
from pkcs11.util.ec import encode_named_curve_parameters

module, label, pin = sys.argv[1:]
data = b"signed by a token"
aes, iv = bytes(range(32)), bytes(range(12))
token = lib(module).get_token(token_label=label)
out = {"data": data.hex()}
try:
    token.open(user_pin="wrong")
except PinIncorrect:
    out["refused"] = "CKR_PIN_INCORRECT"

with token.open(user_pin=pin, rw=True) as session:
    public, private = session.generate_keypair(KeyType.RSA, 2048, store=False)
    out["rsa"] = {
        "n": public[Attribute.MODULUS].hex(),
        "e": public[Attribute.PUBLIC_EXPONENT].hex(),
        "signature": private.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS).hex(),
    }
    curve = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    public, private = curve.generate_keypair(store=False)
    signature = private.sign(data, mechanism=Mechanism.ECDSA_SHA256)
    out["ec"] = {"point": public[Attribute.EC_POINT].hex(), "signature": signature.hex()}
    key = session.create_object(
        {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.VALUE: aes}
    )
    gcm = {"mechanism": Mechanism.AES_GCM, "mechanism_param": GCMParams(iv, b"aad", 128)}
    out["gcm"] = key.encrypt(data, **gcm).hex()
    out["opened"] = key.decrypt(bytes.fromhex(out["gcm"]), **gcm).hex()
    secret = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
            Attribute.SIGN: True,
            Attribute.VALUE: b"a key for a code",
        }
    )
    out["hmac"] = secret.sign(data, mechanism=Mechanism.SHA256_HMAC).hex()
print(json.dumps(out))
