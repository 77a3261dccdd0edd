"""Microsoft's own client libraries in one conversation with a vault and its login: a line of JSON in, a line of JSON out.

Nothing of them is replaced: the names are Azure's, and a proxy of the environment leads them to where the test wants.
"""
import base64
import hashlib
import json
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import CertificateCredential, ClientSecretCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm

VAULT = 'https://name.vault.azure.net'
LOGIN = {'tenant_id': 'tenant-1', 'client_id': 'client-1', 'disable_instance_discovery': True}
CURVES = {'P-256': ('ES256', 'sha256'), 'P-384': ('ES384', 'sha384'), 'P-521': ('ES512', 'sha512'), 'P-256K': ('ES256K', 'sha256')}
RSA = [(family + bits, 'sha' + bits) for family in ('RS', 'PS') for bits in ('256', '384', '512')]
OPENINGS = ('RSA-OAEP-256', 'RSA-OAEP', 'RSA1_5')


def credential_of(login):
    if 'certificate' in login:
        return CertificateCredential(certificate_path=login['certificate'], **LOGIN)
    return ClientSecretCredential(client_secret=login['secret'], **LOGIN)


class Conversation:
    def login(self, login):
        self.credential = credential_of(login)
        self.keys = KeyClient(VAULT, self.credential, api_version='7.4')
        return {'expires': self.credential.get_token('https://vault.azure.net/.default').expires_on}

    def crypto(self, name, version=None):
        return CryptographyClient(self.keys.get_key(name, version), self.credential, api_version='7.4')

    def remote(self, name):
        """Without the public key, so that nothing is done here."""
        made = CryptographyClient(self.keys.get_key(name).id, self.credential, api_version='7.4')
        made._keys_get_forbidden = True
        return made

    def unwrap(self, wrapped, version):
        algorithm = KeyWrapAlgorithm.rsa_oaep_256
        return {'key': self.crypto('kek', version).unwrap_key(algorithm, base64.b64decode(wrapped)).key.hex()}

    def wrap(self, key):
        made = self.crypto('kek').wrap_key(KeyWrapAlgorithm.rsa_oaep_256, bytes.fromhex(key))
        return {'kid': made.key_id, 'wrapped': base64.b64encode(made.encrypted_key).decode()}

    def shape(self, name):
        """A key as it was made, and everything that it does, its results judged by the library itself."""
        key = self.keys.get_key(name)
        tried = RSA if key.key_type.startswith('RSA') else [CURVES[key.key.crv]]
        for algorithm, hash_name in tried:
            digest = hashlib.new(hash_name, b'of the application').digest()
            signed = self.crypto(name).sign(SignatureAlgorithm(algorithm), digest)
            local = CryptographyClient.from_jwk(key.key)
            assert local.verify(SignatureAlgorithm(algorithm), digest, signed.signature).is_valid, algorithm
            remote = self.remote(name)
            assert remote.verify(SignatureAlgorithm(algorithm), digest, signed.signature).is_valid, algorithm
            other = bytes([digest[0] ^ 1]) + digest[1:]
            assert not remote.verify(SignatureAlgorithm(algorithm), other, signed.signature).is_valid, algorithm
        return {'type': key.key_type, 'operations': sorted(key.key_operations), 'version': key.properties.version}

    def cipher(self, name):
        text = b'of the application'
        for algorithm in OPENINGS:
            for client in (self.crypto(name), self.remote(name)):
                made = client.encrypt(EncryptionAlgorithm(algorithm), text)
                assert client.decrypt(EncryptionAlgorithm(algorithm), made.ciphertext).plaintext == text, algorithm
        sealed = self.crypto(name).encrypt(EncryptionAlgorithm('RSA-OAEP-256'), text).ciphertext
        return {'sealed': base64.b64encode(sealed).decode()}

    def verify(self, name, version, algorithm, digest, signature):
        key = self.keys.get_key(name, version)
        found = CryptographyClient.from_jwk(key.key).verify(
            SignatureAlgorithm(algorithm), bytes.fromhex(digest), bytes.fromhex(signature))
        return {'valid': found.is_valid}

    def make(self, name, curve):
        return {'version': self.keys.create_ec_key(name, curve=curve, key_operations=['sign', 'verify']).properties.version}

    def rotate(self, name):
        return {'version': self.keys.rotate_key(name).properties.version}

    def disable(self, name, version):
        return {'enabled': self.keys.update_key_properties(name, version, enabled=False).properties.enabled}

    def list(self):
        names = sorted(each.name for each in self.keys.list_properties_of_keys())
        versions = {name: [each.version for each in self.keys.list_properties_of_key_versions(name, max_page_size=1)]
                    for name in names}
        return {'names': names, 'versions': versions}

    def delete(self, name):
        deleted = self.keys.begin_delete_key(name).result()
        return {'purge': deleted.scheduled_purge_date.timestamp() - deleted.deleted_date.timestamp()}

    def recover(self, name):
        return {'version': self.keys.begin_recover_deleted_key(name).result().properties.version}

    def random(self, count):
        return {'length': len(self.keys.get_random_bytes(count))}

    def refused(self, name):
        try:
            return {'error': None, 'got': self.keys.get_key(name).id}
        except HttpResponseError as error:
            return {'error': type(error).__name__, 'status': error.status_code, 'code': error.error.code}


def main():
    talk = Conversation()
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        print(json.dumps(getattr(talk, verb)(*arguments)), flush=True)


main()
