"""What Cartesia is told and what it answers, without any waiting.

Its own description: https://docs.cartesia.ai/api-reference/tts/websocket,
https://docs.cartesia.ai/use-the-api/api-errors and
https://docs.cartesia.ai/use-the-api/concurrency-limits-and-timeouts (an idle connection lasts 5 minutes)
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import broken_off, malformed, refusal, vendor_code
from callbot.tts_worker.providers.audio_message import audio_of, object_of
from callbot.tts_worker.providers.dialect import Heard
from callbot.tts_worker.providers.http_speech import Request, fetched
from callbot.tts_worker.providers.vendor_voices import VendorVoice

IDLE_S: Final = 300.0
AT_ONCE: Final = 20
"""Contexts over one connection; the vendor speaks of dozens."""
PAGE: Final = 100
MAX_PAGES: Final = 10
_FORMAT: Final = {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000}
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_voice_id(name: str) -> bool:
    return _ID.fullmatch(name) is not None


def refused(status: int, body: Any, retry_after: str | None) -> ProviderError:
    """`{"error_code": "concurrency_limited", "title": …, "message": …}`; only the code is kept."""
    word = vendor_code(body.get("error_code")) if isinstance(body, Mapping) else ""
    if status == 404 or word.startswith("voice_"):
        return ProviderError("unknown_voice", f"HTTP {status} {word}".strip(), retryable=False)
    if word == "concurrency_limited":
        status = 429
    spent = "quota" in word or "credit" in word
    return refusal(status, word, retry_after=retry_after, out_of_quota=spent)


@dataclass(frozen=True)
class Contexts:
    """`/tts/websocket`: each text is a context that is whole from the beginning."""

    model: str
    idle_s: float = IDLE_S
    at_once: int = AT_ONCE
    drains: bool = False
    """A text that was cancelled does not tell its end."""

    @property
    def tick_s(self) -> float:
        return self.idle_s / 10

    @property
    def replaced_after_s(self) -> float:
        """Only a generation, which costs money, would keep a connection."""
        return self.idle_s * 0.8

    def prepare(self, context: str) -> Sequence[str]:
        return []

    def keep_alive(self, context: str) -> Sequence[str]:
        return []

    def say(self, context: str, text: str, voice_id: str, language: str) -> Sequence[str]:
        """Without a delay: the vendor's own is 3,000 ms, for texts that come in parts."""
        message = {
            "context_id": context,
            "model_id": self.model,
            "transcript": text,
            "voice": {"mode": "id", "id": voice_id},
            "language": language.partition("-")[0].lower(),
            "output_format": _FORMAT,
            "continue": False,
            "max_buffer_delay_ms": 0,
        }
        return [json.dumps(message)]

    def cancel(self, context: str) -> Sequence[str]:
        return [json.dumps({"context_id": context, "cancel": True})]

    def heard(self, message: str) -> Heard:
        told = object_of(message)
        context = told.get("context_id") or ""
        if not isinstance(context, str):
            raise malformed("a context that is no text")
        if told.get("type") == "error" or told.get("error"):
            status = told.get("status_code")
            return Heard(context, error=refused(status if isinstance(status, int) else 500, told, None))
        audio = audio_of(told.get("data")) if told.get("type") == "chunk" else b""
        return Heard(context, audio=audio, over=told.get("done") is True)

    def closed(self, code: int) -> ProviderError:
        if code == 1000:
            return broken_off()
        return ProviderError("unavailable", f"closed with {code}", retryable=True)


async def voices_at(
    session: aiohttp.ClientSession, base_url: str, headers: Mapping[str, str], search: str = ""
) -> list[VendorVoice]:
    """All, or those that `search` finds in names and descriptions. Raises ProviderError."""
    voices: list[VendorVoice] = []
    params = {"limit": str(PAGE), **({"q": search} if search else {})}
    for _ in range(MAX_PAGES):
        page = await fetched(session, Request(f"{base_url}/voices", headers, params), refused)
        found = page.get("data") if isinstance(page, Mapping) else None
        if not isinstance(found, list):
            raise malformed("no list of voices")
        voices += [_voice_of(voice) for voice in found]
        if not page.get("has_more") or not voices:
            break
        params["starting_after"] = voices[-1].id
    return voices


def _voice_of(voice: Any) -> VendorVoice:
    told = voice if isinstance(voice, Mapping) else {}
    id, name, language = told.get("id"), told.get("name"), told.get("language")
    if not isinstance(id, str) or not isinstance(name, str):
        raise malformed("a voice without id or name")
    return VendorVoice(id, name.strip(), language if isinstance(language, str) and language else "und")
