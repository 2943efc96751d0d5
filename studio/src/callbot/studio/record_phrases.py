"""Speaks each `.txt` of a folder into a `.ulaw` beside it, with the local voice.

`python -m callbot.studio.record_phrases gateway/src/callbot/gateway/recorded`
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from callbot.studio.emulator import piper_voice


async def spoken(texts: Sequence[str]) -> list[bytes]:
    """Mu-law at 8 kHz. Raises VoiceError."""
    async with piper_voice() as voice:
        return [await voice.speech(text) for text in texts]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    paths = sorted(Path(sys.argv[1]).glob("*.txt"))
    audios = asyncio.run(spoken([path.read_text().strip() for path in paths]))
    for path, audio in zip(paths, audios, strict=True):
        path.with_suffix(".ulaw").write_bytes(audio)
        print(f"{path.stem}: {len(audio) / 8000:.1f} s")


if __name__ == "__main__":
    main()
