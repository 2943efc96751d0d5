"""ElevenLabs' voices: `GET /v2/voices`, page by page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp

from callbot.runtime.vendor_answers import malformed
from callbot.tts_worker.providers.elevenlabs_wire import refused
from callbot.tts_worker.providers.http_speech import Request, fetched
from callbot.tts_worker.providers.vendor_voices import VendorVoice

PAGE: Final = 100
MAX_PAGES: Final = 10
_ID: Final = re.compile(r"[A-Za-z0-9]{20}")


def is_voice_id(name: str) -> bool:
    return _ID.fullmatch(name) is not None


async def voices_at(
    session: aiohttp.ClientSession, base_url: str, headers: Mapping[str, str], search: str = ""
) -> list[VendorVoice]:
    """All, or those that `search` finds: it looks at descriptions and labels too. Raises ProviderError."""
    voices: list[VendorVoice] = []
    params = {"page_size": str(PAGE), **({"search": search} if search else {})}
    for _ in range(MAX_PAGES):
        page = await fetched(session, Request(f"{base_url}/v2/voices", headers, params), refused)
        voices += _voices_of(page)
        token = page.get("next_page_token")
        if not page.get("has_more") or not isinstance(token, str) or not token:
            break
        params["next_page_token"] = token
    return voices


def _voices_of(page: Any) -> Sequence[VendorVoice]:
    found = page.get("voices") if isinstance(page, Mapping) else None
    if not isinstance(found, list):
        raise malformed("no list of voices")
    voices = []
    for voice in found:
        id, name = (voice.get("voice_id"), voice.get("name")) if isinstance(voice, Mapping) else (None, None)
        if not isinstance(id, str) or not isinstance(name, str):
            raise malformed("a voice without id or name")
        voices.append(VendorVoice(id, name.strip(), _language_of(voice)))
    return voices


def _language_of(voice: Mapping[str, Any]) -> str:
    """The only one that is verified, or its label; `und`: several."""
    verified = voice.get("verified_languages")
    locales = {v.get("locale") or v.get("language") for v in verified or [] if isinstance(v, Mapping)}
    if len(locales) == 1 and isinstance(only := locales.pop(), str):
        return only
    labels = voice.get("labels")
    label = labels.get("language") if isinstance(labels, Mapping) else None
    return label if isinstance(label, str) and not locales else "und"
