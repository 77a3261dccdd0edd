"""HashiCorp's Python client, hvac, as a second opinion on the fake: vault-client.py URL TOKEN ROLE SECRET CIPHERTEXT AAD."""
import base64
import json
import sys

import hvac

url, token, role, secret, ciphertext, aad = sys.argv[1:]
client = hvac.Client(url=url, token=token)
looked = client.auth.token.lookup_self()["data"]
opened = client.secrets.transit.decrypt_data(name="kek", ciphertext=ciphertext, associated_data=aad)
plaintext = base64.b64encode(b"k" * 64).decode()
made = client.secrets.transit.encrypt_data(name="kek", plaintext=plaintext, associated_data=aad)
key = client.secrets.transit.read_key(name="kek")["data"]
other = hvac.Client(url=url)
login = other.auth.approle.login(role_id=role, secret_id=secret)["auth"]
renewed = other.auth.token.renew_self()["auth"]
try:
    client.secrets.transit.decrypt_data(name="kek", ciphertext=ciphertext, associated_data=plaintext)
    refusal = None
except hvac.exceptions.InvalidRequest as error:
    refusal = str(error)
other.auth.token.revoke_self()
print(json.dumps({
    "opened": opened["data"]["plaintext"],
    "made": made["data"]["ciphertext"],
    "type": key["type"],
    "ttl": looked["ttl"],
    "lease": login["lease_duration"],
    "renewed": renewed["lease_duration"],
    "refusal": refusal,
}))
