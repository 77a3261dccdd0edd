"""HashiCorp's Python client, hvac, through its transit operations: transit-client.py SOCKET. Prints what it was answered."""
import base64
import json
import socket
import sys

import hvac
import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool


class UnixConnection(HTTPConnection):
    """requests knows no Unix sockets: hvac is handed a session that does, and is otherwise as it comes."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])


class UnixPool(HTTPConnectionPool):
    ConnectionCls = UnixConnection


class UnixAdapter(requests.adapters.HTTPAdapter):
    def get_connection_with_tls_context(self, *_args, **_kwargs):
        return UnixPool("localhost")


session = requests.Session()
session.mount("http://", UnixAdapter())
client = hvac.Client(url="http://localhost", token="means nothing", session=session)
transit = client.secrets.transit


def b64(data):
    return base64.b64encode(data).decode()


plaintext = b64(b"seventeen camels")
seen = {"authenticated": client.is_authenticated(), "sealed": client.sys.is_sealed()}
transit.create_key(name="orders")
first = transit.encrypt_data(name="orders", plaintext=plaintext, associated_data=b64(b"a"))["data"]["ciphertext"]
seen["batch"] = [
    row["ciphertext"].split(":")[1]
    for row in transit.encrypt_data(name="orders", batch_input=[{"plaintext": plaintext}] * 3)["data"]["batch_results"]
]
transit.rotate_key(name="orders")
opened = transit.decrypt_data(name="orders", ciphertext=first, associated_data=b64(b"a"))["data"]["plaintext"]
seen["opened"] = base64.b64decode(opened).decode()
old = transit.encrypt_data(name="orders", plaintext=plaintext)["data"]["ciphertext"]
seen["rewrapped"] = transit.rewrap_data(name="orders", ciphertext=old)["data"]["ciphertext"].split(":")[1]
transit.rotate_key(name="orders")
transit.update_key_configuration(
    name="orders", min_decryption_version=2, min_encryption_version=3, deletion_allowed=True
)
transit.trim_key(name="orders", min_version=2)
seen["versions"] = list(transit.read_key(name="orders")["data"]["keys"])
try:
    transit.decrypt_data(name="orders", ciphertext=first, associated_data=b64(b"a"))
except hvac.exceptions.InvalidRequest as error:
    seen["refused"] = str(error)
made = transit.generate_data_key(name="orders", key_type="plaintext", bits=512)["data"]
seen["dataKey"] = len(base64.b64decode(made["plaintext"]))
wrapped = transit.generate_data_key(name="orders", key_type="wrapped")["data"]
seen["wrapped"] = "plaintext" in wrapped
mac = transit.generate_hmac(name="orders", hash_input=plaintext, algorithm="sha2-512")["data"]["hmac"]
seen["hmac"] = transit.verify_signed_data(
    name="orders", hash_input=plaintext, hmac=mac, hash_algorithm="sha2-512"
)["data"]["valid"]
transit.create_key(name="tenants", derived=True)
sealed = transit.encrypt_data(name="tenants", plaintext=plaintext, context=b64(b"one"))["data"]["ciphertext"]
seen["derived"] = transit.decrypt_data(name="tenants", ciphertext=sealed, context=b64(b"one"))["data"]["plaintext"] == plaintext
for key_type in ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-2048"):
    transit.create_key(name=key_type, key_type=key_type)
    signed = transit.sign_data(name=key_type, hash_input=plaintext, hash_algorithm="sha2-384")["data"]["signature"]
    seen[key_type] = transit.verify_signed_data(
        name=key_type, hash_input=plaintext, signature=signed, hash_algorithm="sha2-384"
    )["data"]["valid"]
jws = transit.sign_data(name="ecdsa-p256", hash_input=plaintext, marshaling_algorithm="jws")["data"]["signature"]
seen["jws"] = transit.verify_signed_data(
    name="ecdsa-p256", hash_input=plaintext, signature=jws, marshaling_algorithm="jws"
)["data"]["valid"]
seen["random"] = len(base64.b64decode(transit.generate_random_bytes(n_bytes=24)["data"]["random_bytes"]))
seen["hash"] = transit.hash_data(hash_input=b64(b"abc"), algorithm="sha2-256")["data"]["sum"]
transit.create_key(name="open", exportable=True)
exported = transit.export_key(name="open", key_type="encryption-key")["data"]["keys"]["1"]
seen["exported"] = len(base64.b64decode(exported))
transit.delete_key(name="orders")
seen["keys"] = transit.list_keys()["data"]["keys"]
print(json.dumps(seen))
