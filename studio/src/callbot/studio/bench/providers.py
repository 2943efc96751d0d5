"""`callbot bench providers`: what an adapter adds to its vendor's own time to the first result.

The vendors' servers are those of the tests, imported by the name that `--servers` gives; they run in this
process and answer at once, so that what is measured is an upper bound: it has the server's work on the
request in it, too. Where the server tells when it was asked and when it answered, that time is taken off.
"""

import os
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from callbot.runtime.errors import CallbotError
from callbot.schemas.text_audio import audible
from callbot.studio.bench.provider_probes import SENTENCE, Probe, Role, probing
from callbot.studio.bench.results import Results, Row, machine, percentile
from callbot.studio.emulator import piper_voice
from callbot.studio.up.scripted_llm import Pace, scripted_llm

WITHOUT_WAITS = {"CALLBOT_DEEPGRAM_STT_FINALIZE_AFTER_MS": "0", "CALLBOT_DEEPGRAM_STT_PATIENCE_MS": "0"}
"""Where an adapter waits on purpose before it asks."""
SPOKEN = "a table"
MS_PER_CHARACTER = 10
LLM_ENDPOINTS = "CALLBOT_LLM_"
"""Those of the environment would join the chain."""
NO_WEBHOOKS = {"CALLBOT_WEBHOOK_KEYS": f"bench:{b64encode(bytes(32)).decode()}"}
"""The dialog-worker has no settings without; nothing is sealed with it here."""


@dataclass(frozen=True)
class Subject:
    role: Role
    provider: str
    """Its entry point."""
    server: str = ""
    """`module:Class` beside the tests' other servers; empty: our own."""

    @property
    def name(self) -> str:
        return f"{self.role} {self.provider} {self.server.rpartition(':')[2]}".strip()


SUBJECTS = (
    Subject("tts", "cartesia", "cartesia_tts:CartesiaTts"),
    Subject("tts", "deepgram", "deepgram_tts:DeepgramTts"),
    Subject("tts", "elevenlabs", "elevenlabs_tts:ElevenLabsTts"),
    Subject("tts", "elevenlabs", "elevenlabs_tts:ElevenLabsHttpTts"),
    Subject("tts", "google", "google_tts:GoogleTts"),
    Subject("tts", "google", "google_tts:GoogleUnaryTts"),
    Subject("tts", "openai", "openai_tts:OpenAITts"),
    Subject("tts", "playht", "playht_tts:PlayHTTts"),
    Subject("tts", "polly", "polly_tts:PollyTts"),
    Subject("stt", "deepgram", "deepgram_stt:DeepgramNova"),
    Subject("stt", "deepgram", "deepgram_stt:DeepgramFlux"),
    Subject("stt", "google", "google_stt:GoogleSpeech"),
    Subject("stt", "google", "google_stt:GoogleSpeechV1"),
    Subject("stt", "openai", "openai_transcription:OpenAITranscription"),
    Subject("llm", "openai"),
)


@dataclass(frozen=True)
class ProvidersPlan:
    requests: int
    """Of each provider, after a first one."""
    only: tuple[str, ...]
    """Words in a subject's name. Empty: all."""
    servers: str
    """The package of the vendors' servers. Empty: the vendors themselves, as the environment names them."""
    limit_ms: float
    """That an adapter may add, at the median."""

    @property
    def subjects(self) -> list[Subject]:
        known = {(s.role, s.provider): s for s in SUBJECTS}.values() if not self.servers else SUBJECTS
        return [s for s in known if not self.only or any(word in s.name.split() for word in self.only)]


async def providers(plan: ProvidersPlan, out: Path, *, resume: bool) -> int:
    """Prints the table; exit code 1 when a provider does not answer, or adds more than the limit."""
    if not plan.subjects:
        there_are = ", ".join(sorted({subject.provider for subject in SUBJECTS}))
        print(f"no such provider: {', '.join(plan.only)}; there are {there_are}")
        return 1
    results = Results(out, {**asdict(plan), "only": list(plan.only)}, resume=resume)
    if plan.servers:
        sys.path.insert(0, str(Path.cwd()))
    speech = await _speech(plan)
    broken = []
    for subject in plan.subjects:
        done = sum(row["subject"] == subject.name for row in results.rows)
        if done > plan.requests:
            continue
        print(f"{subject.name} …", flush=True)
        try:
            await _measure(plan, subject, plan.requests + 1 - done, speech, results)
        except (CallbotError, ImportError, StopIteration, TimeoutError, ValueError) as e:
            broken.append(subject.name)
            print(f"{subject.name}: {type(e).__name__}: {e}")
    return max(print_table(plan, results.rows), bool(broken))


async def _measure(
    plan: ProvidersPlan, subject: Subject, requests: int, speech: bytes, results: Results
) -> None:
    async with _asked(plan, subject, speech) as probe:
        for number in range(requests):
            times = await probe()
            row = {"subject": subject.name, "first_ms": times.first_ms, "own_ms": times.own_ms}
            # The first has what is done once: a connection, a voice's id.
            results.add([{**row, "warm": number > 0}])


@asynccontextmanager
async def _asked(plan: ProvidersPlan, subject: Subject, speech: bytes) -> AsyncIterator[Probe]:
    if not plan.servers:
        with _environment(NO_WEBHOOKS):
            async with probing(subject.role, subject.provider, None, speech) as probe:
                yield probe
        return
    module, _, of = subject.server.partition(":")
    made = getattr(import_module(f"{plan.servers}.{module}"), of)() if module else _LanguageModel()
    async with made as server:
        of_server = {**server.environment, **WITHOUT_WAITS, **NO_WEBHOOKS}
        with _environment(of_server, without=LLM_ENDPOINTS):
            async with probing(subject.role, subject.provider, server, speech) as probe:
                yield probe


async def _speech(plan: ProvidersPlan) -> bytes:
    """Text that the servers read exactly; a voice for the vendors themselves."""
    if plan.servers:
        return audible(SPOKEN, MS_PER_CHARACTER)
    if not any(subject.role == "stt" for subject in plan.subjects):
        return b""
    async with piper_voice() as voice:
        return await voice.speech(SENTENCE)


@contextmanager
def _environment(variables: Mapping[str, str], *, without: str = "") -> Iterator[None]:
    """As long as a provider is measured: its options are read when it is opened."""
    before = dict(os.environ)
    for name in [name for name in before if without and name.startswith(without)]:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _LanguageModel:
    """Our own server of chat completions, which answers at once."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self.asked_at_s = self.answered_at_s = 0.0
        app = scripted_llm(Pace())
        app.middlewares.append(self._asked)
        app.on_response_prepare.append(self._answered)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        self.environment |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none", "OPENAI_MODEL": "scripted"}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _asked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked_at_s = time.monotonic()
        return await handler(request)

    async def _answered(self, _: web.Request, __: web.StreamResponse) -> None:
        self.answered_at_s = time.monotonic()


def print_table(plan: ProvidersPlan, rows: Sequence[Row]) -> int:
    """1 when an adapter adds more than the limit."""
    print(f"\n{machine()}; {asdict(plan)}")
    added = "to the first result" if not plan.servers else "added to the vendor's own"
    print(f"{'milliseconds ' + added:40} {'p50':>7} {'p95':>7} {'p99':>7} {'cold':>7} {'requests':>8}")
    over = 0
    for name in dict.fromkeys(row["subject"] for row in rows):
        own = [row for row in rows if row["subject"] == name]
        warm = [row["first_ms"] - row["own_ms"] for row in own if row["warm"]]
        cold = [row["first_ms"] - row["own_ms"] for row in own if not row["warm"]]
        if not warm:
            continue
        shares = [percentile(warm, share) for share in (0.5, 0.95, 0.99)]
        is_over = bool(plan.servers) and shares[0] > plan.limit_ms
        over += is_over
        figures = " ".join(f"{value:7.2f}" for value in (*shares, cold[0] if cold else float("nan")))
        print(f"{name:40} {figures} {len(warm):8}{'  over the limit' if is_over else ''}")
    if plan.servers:
        print(f"{over} over {plan.limit_ms:g} ms at the median")
    return 1 if over else 0
