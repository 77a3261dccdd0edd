"""Tink with Sidekey's embedded KEK as its KMS: opens an envelope that Sidekey made, and makes two that Sidekey shall open."""
import base64
import json
import sys

import tink
from tink import aead, core
from tink.proto import aes_gcm_pb2, tink_pb2

URI = 'sidekey-kek://embedded'


class Client(tink.KmsClient):
    """The KEK as a KMS: AES-256-GCM of Tink's own, without a prefix."""

    def __init__(self, kek):
        self._kek = kek

    def does_support(self, key_uri):
        return key_uri == URI

    def get_aead(self, key_uri):
        key = aes_gcm_pb2.AesGcmKey(version=0, key_value=self._kek).SerializeToString()
        data = tink_pb2.KeyData(
            type_url='type.googleapis.com/google.crypto.tink.AesGcmKey',
            value=key,
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        )
        return core.Registry.primitive(data, aead.Aead)


def envelope(dek_template):
    template = aead.aead_key_templates.create_kms_envelope_aead_key_template(URI, dek_template)
    return tink.new_keyset_handle(template).primitive(aead.Aead)


asked = json.load(sys.stdin)
aead.register()
tink.register_kms_client(Client(bytes.fromhex(asked['kek'])))
aad = asked['aad'].encode()
large, small = (envelope(getattr(aead.aead_key_templates, name)) for name in ('AES256_GCM', 'AES128_GCM'))
try:
    large.decrypt(base64.b64decode(asked['message']), b'other data')
    refused = False
except tink.TinkError:
    refused = True
print(json.dumps({
    'opened': large.decrypt(base64.b64decode(asked['message']), aad).decode(),
    'refused': refused,
    'sealed': [base64.b64encode(each.encrypt(b'of Tink', aad)).decode() for each in (large, small)],
}))
