"""The Secrets of a new platform, as YAML: `python3 k8s/new_secrets.py | kubectl apply -f -`.

Once: other key rings open nothing of what is stored, and a changed password is known to NATS only after its
restart. Keep what it prints where you keep such things, or hand it to External Secrets or Sealed Secrets. The
key of a language model and the account of Twilio are yours to add:

    kubectl -n callbot create secret generic openai --from-literal=api-key=…
    kubectl -n callbot create secret generic twilio --from-literal=account-sid=AC… --from-literal=auth-token=…

Python's own library alone.
"""

import argparse
import base64
import secrets

NATS_USERS = ("gateway", "call-router", "stt-worker", "dialog-worker", "tts-worker", "routes")
KEY_RINGS = ("token", "jwt", "secret", "webhook")
MEMBERS = ",".join(f"mongodb-{number}.mongodb:27017" for number in range(3))
Secrets = dict[str, dict[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--namespace", default="callbot")
    parser.add_argument("--mongodb-url", help="a MongoDB elsewhere, in the place of components/mongodb")
    wanted = parser.parse_args()
    for name, values in new_secrets(wanted.mongodb_url).items():
        print(as_yaml(wanted.namespace, name, values))


def new_secrets(mongodb_url: str | None = None) -> Secrets:
    """Secret → key → value. Passwords are of letters, digits, `-` and `_`: they become part of URLs."""
    made: Secrets = {
        "nats-passwords": {user: secrets.token_urlsafe(32) for user in NATS_USERS},
        "key-rings": {ring: f"k{secrets.token_hex(4)}:{_random(32)}" for ring in KEY_RINGS},
    }
    if mongodb_url is None:
        password = secrets.token_urlsafe(32)
        made["mongodb"] = {
            "root-password": secrets.token_urlsafe(32),
            "callbot-password": password,
            "key-file": _random(512),
        }
        mongodb_url = f"mongodb://callbot:{password}@{MEMBERS}/callbot?replicaSet=callbot&authSource=admin"
    return {**made, "mongodb-url": {"url": mongodb_url}}


def _random(count: int) -> str:
    return base64.b64encode(secrets.token_bytes(count)).decode()


def as_yaml(namespace: str, name: str, values: dict[str, str]) -> str:
    data = "\n".join(f"  {key}: {base64.b64encode(v.encode()).decode()}" for key, v in values.items())
    head = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}"
    return f"---\n{head}\ndata:\n{data}"


if __name__ == "__main__":
    main()
