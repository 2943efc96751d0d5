"""A service account of Google's for tests: its key file, and what checks the tokens that the key signs."""

import json
import time
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.vendors.tts_vendor import KEY

EMAIL: Final = "callbot@tests.iam.gserviceaccount.com"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE_KEY: Final = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
# Without the last one, which is shorter.
SECRET_LINES: Final = tuple(PRIVATE_KEY.splitlines()[1:-2])


def write_key(folder: Path) -> Path:
    """As the console of Google Cloud gives it out."""
    file = folder / "key.json"
    key = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": KEY,
        "private_key": PRIVATE_KEY,
        "client_email": EMAIL,
        "client_id": "1",
        # Self-signed tokens need no request; one is refused here.
        "token_uri": "http://127.0.0.1:9/token",
    }
    file.write_text(json.dumps(key))
    return file


def wrong_token(authorization: str) -> str:
    """What is wrong with it by https://google.aip.dev/auth/4111, empty: nothing."""
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer":
        return "no bearer token"
    try:
        claims: dict[str, Any] = jwt.decode(
            token, _KEY.public_key(), ["RS256"], options={"require": ["iss", "sub", "iat", "exp"]}
        )
        key_id = jwt.get_unverified_header(token).get("kid")
    except jwt.InvalidTokenError as e:
        return type(e).__name__
    if key_id != KEY or claims["iss"] != EMAIL or claims["sub"] != EMAIL:
        return "another account"
    if claims["exp"] - claims["iat"] > 3600 or claims["iat"] > time.time() + 60:
        return "a token of more than an hour"
    return "" if claims.get("scope") == SCOPE else "another scope"
