"""JSON messages with audio in base64, as vendors send them over WebSockets."""

import base64
import binascii
import json
from typing import Any

from callbot.runtime.vendor_answers import malformed


def object_of(message: str) -> dict[str, Any]:
    """Raises ProviderError (`malformed`)."""
    try:
        told = json.loads(message)
    except ValueError:
        raise malformed("no JSON") from None
    if not isinstance(told, dict):
        raise malformed("no JSON object")
    return told


def audio_of(encoded: object) -> bytes:
    """Null and an empty text are no audio. Raises ProviderError (`malformed`)."""
    if not encoded:
        return b""
    if not isinstance(encoded, str):
        raise malformed("audio that is no text")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise malformed("audio that is no base64") from None
