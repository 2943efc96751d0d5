"""Secrets at rest and in copies: AES-256-GCM (NIST SP 800-38D), the key's id beside the ciphertext.

`{key id}.{nonce}.{ciphertext and tag}`, the last two in base64url. What a secret belongs to is bound to it:
a ciphertext that was copied to another bot or user does not open.
"""

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callbot.runtime.errors import CallbotError
from callbot.runtime.keyring import KEY_BYTES, KeyRing

NONCE_BYTES = 12


class CannotOpen(CallbotError):
    """The key is not in the ring, or this was not sealed for that purpose."""


class Sealing:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def seal(self, secret: str, belongs_to: str) -> str:
        key_id, key = self._ring.newest
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(key[:KEY_BYTES]).encrypt(nonce, secret.encode(), _bound(key_id, belongs_to))
        return f"{key_id}.{_text(nonce)}.{_text(sealed)}"

    def open(self, sealed: str, belongs_to: str) -> str:
        """Raises CannotOpen, without repeating what was given."""
        key_id, _, rest = sealed.partition(".")
        nonce, _, ciphertext = rest.partition(".")
        key = self._ring.get(key_id)
        if key is None:
            raise CannotOpen(f"no key {key_id[:16]!r}" if key_id.isidentifier() else "not sealed")
        try:
            opened = AESGCM(key[:KEY_BYTES]).decrypt(
                _bytes(nonce), _bytes(ciphertext), _bound(key_id, belongs_to)
            )
        except (InvalidTag, ValueError, binascii.Error) as e:
            raise CannotOpen("not sealed with this key for this purpose") from e
        return opened.decode()

    def is_newest(self, sealed: str) -> bool:
        """False: a rotation would seal this anew."""
        return sealed.partition(".")[0] == self._ring.newest[0]


def webhook_secret_of(bot_id: str) -> str:
    """What a bot's webhook secret is bound to."""
    return f"webhook secret of {bot_id}"


def _bound(key_id: str, belongs_to: str) -> bytes:
    return f"{key_id}|{belongs_to}".encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
