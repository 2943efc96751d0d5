"""Which mu-law frames a person would hear."""

from callbot.schemas.audio import FRAME_BYTES, SILENCE_BYTE

SILENT_FRAME = bytes((SILENCE_BYTE,)) * FRAME_BYTES
AUDIBLE_SHARE = 10
"""A frame is audible when one sample in ten lies above the quiet ones."""
_QUIET_CODES_PER_SIGN = 16
"""The lowest chord of G.711 ends at 15 * 8 of 32,768: about -49 dBFS."""
_QUIET = bytes(
    sign - code for sign in (SILENCE_BYTE, SILENCE_BYTE & 0x7F) for code in range(_QUIET_CODES_PER_SIGN)
)


def is_audible(audio: bytes) -> bool:
    """Whether these mu-law bytes are more than silence or line noise."""
    if audio == SILENT_FRAME:
        return False
    return len(audio.translate(None, delete=_QUIET)) * AUDIBLE_SHARE >= max(1, len(audio))
