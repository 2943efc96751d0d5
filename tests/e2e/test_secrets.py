"""No key is written anywhere, whatever vendors say: what a platform writes whose secrets are known."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from callbot.studio.emulator import Emulator
from callbot.studio.up.running import Platform, running_platform
from tests.conftest import serve
from tests.e2e.chains import WITHOUT_BREAKERS
from tests.e2e.more_workers import environment_of
from tests.e2e.user import PASSWORD, User, ringing, signed_up
from tests.e2e.written import MEANT_FOR_SECRETS, Written, are_private, of_process
from tests.vendors.customer import Customer
from tests.vendors.google_account import PRIVATE_KEY
from tests.vendors.google_stt import GoogleSpeech
from tests.vendors.google_tts import GoogleTts
from tests.vendors.otlp_collector import OtlpCollector
from tests.vendors.repeating import Repeating
from tests.vendors.stt_vendor import CHATTER
from tests.vendors.stt_vendor import Day as SttDay
from tests.vendors.tts_vendor import Day as TtsDay

GREETING = "Hello! How can I help you?"
SAID = "a table for four"
GOOGLES_DAYS = ("REFUSED", "BUSY_FOR", "OUT_OF_QUOTA", "BROKEN")
TURNS = 3
KEYS = {
    name: f"{name.lower().replace('_', '-')}-{secrets.token_urlsafe(24)}"
    for name in (
        "OPENAI_API_KEY", "CALLBOT_LLM_2_API_KEY", "CALLBOT_OPENAI_STT_API_KEY", "CALLBOT_OPENAI_TTS_API_KEY",
        "DEEPGRAM_API_KEY", "ELEVENLABS_API_KEY", "CARTESIA_API_KEY", "PLAYHT_API_KEY", "PLAYHT_USER_ID",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    )
}  # fmt: skip
BASES = (
    "OPENAI_BASE_URL", "CALLBOT_LLM_2_BASE_URL", "CALLBOT_OPENAI_STT_BASE_URL", "CALLBOT_OPENAI_TTS_BASE_URL",
    "DEEPGRAM_BASE_URL", "ELEVENLABS_BASE_URL", "CARTESIA_BASE_URL", "PLAYHT_BASE_URL",
    "AWS_ENDPOINT_URL_POLLY",
)  # fmt: skip
MODELS = (
    "OPENAI_MODEL", "CALLBOT_LLM_2_MODEL", "CALLBOT_OPENAI_STT_MODEL", "CALLBOT_OPENAI_TTS_MODEL",
)  # fmt: skip
SHOWN_TO_NOBODY = {"AWS_SECRET_ACCESS_KEY"}
"""Requests are signed with it."""
CHAINS = {
    "CALLBOT_STT": "deepgram,google,openai,scripted",
    "CALLBOT_TTS": "elevenlabs,cartesia,deepgram,google,polly,openai,playht,scripted",
}
WITHIN_THE_PLATFORM = ("NATS's password", "Twilio's token", *sorted(MEANT_FOR_SECRETS))
SEEN_IN_A_LOG = "password-of-a-webhook"
"""Its owner is shown it: it stands in the address that the owner has given."""


class KeptTraces(OtlpCollector):
    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        return await super()._take(request)


@dataclass
class Stage:
    platform: Platform
    repeating: Repeating
    googles: tuple[GoogleSpeech, GoogleTts]
    secrets: dict[str, str]
    traces: KeptTraces
    written: Written = field(default_factory=Written)

    def have_a_bad_day(self, number: int) -> None:
        stt, tts = self.googles
        name = GOOGLES_DAYS[number % len(GOOGLES_DAYS)]
        stt.turns(SttDay[name])
        tts.day = TtsDay[name]


@pytest.fixture(scope="module")
async def stage(servers: AsyncExitStack) -> AsyncIterator[Stage]:
    repeating, traces = Repeating(), KeptTraces()
    async with GoogleSpeech() as stt, GoogleTts() as tts:
        url = await serve(servers, repeating.app())
        stt.day, tts.day = SttDay.REFUSED, TtsDay.REFUSED
        env = {
            **WITHOUT_BREAKERS,
            **stt.environment,
            **tts.environment,
            **KEYS,
            **CHAINS,
            **{base: f"{url}/{base.lower().partition('_base')[0]}" for base in BASES},
            **dict.fromkeys(MODELS, "gpt-test"),
            "AWS_ACCESS_KEY_ID": "AKIATESTS",
            "AWS_REGION": "eu-central-1",
            "CALLBOT_VAD": "energy",
            "CALLBOT_AUTH": "required",
            "CALLBOT_LOG_LEVEL": "debug",
            "OTEL_EXPORTER_OTLP_ENDPOINT": await serve(servers, traces.app()),
            "CALLBOT_SCRIPTED_MS_PER_CHARACTER": "15",
        }
        async with running_platform(env=env) as platform:
            found = {**KEYS, **dict(await generated(platform)), **googles_key()}
            yield Stage(platform, repeating, (stt, tts), found, traces)


def googles_key() -> dict[str, str]:
    return {f"line {n} of Google's key": line for n, line in enumerate(PRIVATE_KEY.splitlines()[1:-2])}


async def generated(platform: Platform) -> list[tuple[str, str]]:
    """What the platform has made for itself: NATS's passwords, key rings, its Twilio's tokens."""
    found = []
    for row in await platform.ps():
        nats_url = environment_of(row["pid"]).get("NATS_URL", "")
        if "@" in nats_url:
            found.append((f"NATS's password of {row['service']}", nats_url.split(":")[2].partition("@")[0]))
    for file in sorted(MEANT_FOR_SECRETS - {"nats.conf", "twilio-accounts.json"}):
        for key in (platform.data / file).read_text().strip().split(","):
            found.append((file, key.partition(":")[2].rstrip("=")))
    accounts = platform.twilio.accounts
    tokens = [accounts.platform.auth_token or "", accounts.customer.auth_token or ""]
    found += [("Twilio's token", token) for token in tokens]
    return [(f"{name} ({n})", secret) for n, (name, secret) in enumerate(found)]


class WrittenUser(User):
    """Whatever is answered to it is kept, but for the answers that hand a secret out."""

    def __init__(self, http: aiohttp.ClientSession, headers: Mapping[str, str], written: Written) -> None:
        super().__init__(http, headers)
        self._written = written

    async def tries(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """With any status."""
        sent = {**self.headers, **headers}
        async with self.http.request(method, path, json=body, headers=sent) as answer:
            text = await answer.text()
            self._written.add(f"{method} {path}: {answer.status}", f"{dict(answer.headers)} {text}")
            return json.loads(text) if text.startswith(("{", "[")) else text

    async def events(self, call_id: str) -> None:
        """Until the call is over."""
        async with self.http.get(f"/v1/calls/{call_id}/events", headers=self.headers) as answer:
            async for line in answer.content:
                self._written.add(f"events of {call_id}", line)
                if line.startswith(b"event: ended"):
                    return


async def errors(stage: Stage, user: WrittenUser) -> None:
    """Requests that carry secrets, each wrong in some way."""
    wrong = stage.secrets["a key of nobody's"]
    account = stage.platform.twilio.accounts.customer
    who = {"email": "nobody@callbot.example", "password": wrong}
    bearers = {"Authorization": f"Bearer {wrong}"}
    await user.tries("POST", "/v1/auth/token", who)
    await user.tries("POST", "/v1/auth/signup", {**who, "email": wrong})
    await user.tries("POST", "/v1/auth/signup", {"email": "x@callbot.example", "password": [wrong]})
    await user.tries("GET", "/v1/me", **bearers)
    await user.tries("GET", "/v1/me", **{"X-API-Key": wrong, "Authorization": ""})
    twilio = {"account_sid": account.sid, "auth_token": wrong, "phone_number_sid": "PN" + 32 * "0"}
    await user.tries("POST", "/v1/connect-twilio", twilio)
    await user.tries("POST", "/v1/connect-twilio", {**twilio, "auth_token": account.auth_token})
    await user.tries("POST", "/v1/connect-twilio", {**twilio, "account_sid": wrong, "auth_token": [wrong]})
    bot = {"goal": "Test", "webhook": "https://example.com/bot"}
    for fields in (
        {"webhook_secret": [wrong]},
        {"webhook_secret": f"\n{wrong}"},
        {"webhook": f"ftp://x:{wrong}@x"},
    ):
        await user.tries("POST", "/v1/bots", {**bot, **fields})
    await user.tries("POST", "/v1/voice/next", **{"X-Twilio-Signature": wrong})
    async with user.http.post(
        "/v1/bots", data=f'{{"webhook_secret": "{wrong}', headers=user.headers
    ) as answer:
        stage.written.add("no JSON", await answer.read())


async def talk(stage: Stage, user: WrittenUser, emulator: Emulator, number: str) -> None:
    """Every vendor of every chain is asked in every turn, and refuses."""
    async with emulator.dial(to=await ringing(stage.platform, number)) as call:
        await call.hears(GREETING)
        watching = asyncio.create_task(user.events(call.sid))
        for turn in range(TURNS):
            stage.have_a_bad_day(turn)
            await call.says(SAID)
            await call.hears(f"I heard {SAID}", within_s=15)
    await asyncio.wait_for(watching, 10)
    await asyncio.wait_for(stage.traces.turn(f"{call.sid}.{TURNS}", ("turn",)), 20)
    stage.written.add("Twilio's debugger", str(call.complaints.faults()))
    for path in (f"/v1/calls/{call.sid}", "/v1/calls", "/v1/bots", "/v1/me", "/v1/my-number", "/v1/voices"):
        await user.tries("GET", path)


async def loses_its_bus(platform: Platform) -> None:
    """NATS is killed: whoever was connected says so, and connects again."""
    nats = next(row for row in await platform.ps() if row["service"] == "nats")
    os.kill(nats["pid"], signal.SIGKILL)
    async with asyncio.timeout(20):
        while "nats is ready again" not in platform.log.read_text():
            await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_no_secret_is_written_anywhere(stage: Stage, customer: Customer) -> None:
    platform, written = stage.platform, stage.written
    account = platform.twilio.accounts.customer
    stage.secrets |= {
        "a user's password": PASSWORD,
        "a key of nobody's": f"nobodys-{secrets.token_urlsafe(24)}",
    }
    webhook = f"{customer.webhook('echo', 'secrets')}?password={SEEN_IN_A_LOG}"
    async with signed_up(platform) as known, Emulator(platform.url) as emulator:
        user = WrittenUser(known.http, known.headers, written)
        stage.secrets["an access token"] = known.headers["Authorization"].split()[1]
        key = await known.ask("POST", "/v1/api-keys", 201, {"name": "mine"})
        stage.secrets["an API key"] = key["key"]
        number = await known.connect(platform)
        bot = await known.bot(customer.webhook("500", "secrets"), greeting=GREETING, voice="elevenlabs:alice")
        stage.secrets["a webhook's secret"] = bot["webhook_secret"]
        await user.tries("POST", f"/v1/bots/{bot['id']}/test-webhook")
        await user.tries("PATCH", f"/v1/bots/{bot['id']}", {"webhook": webhook})
        await errors(stage, user)
        await talk(stage, user, emulator, number)
        await user.tries("GET", "/v1/api-keys", **{"X-API-Key": key["key"], "Authorization": ""})
    await loses_its_bus(platform)
    basic = aiohttp.encode_basic_auth(account.sid, account.auth_token or "").split()[1]
    stage.secrets["Twilio's credentials"] = basic
    stage.secrets |= {
        f"Google's token {n}": token for n, token in enumerate(stage.googles[1].tokens) if token
    }
    await written.add_platform(platform)
    for n, body in enumerate(stage.traces.bodies):
        written.add(f"traces {n}", body)
    check_that_it_could_be_found(stage, [row["pid"] for row in await platform.ps()])
    assert written.leaks(stage.secrets) == []
    assert CHATTER not in platform.log.read_text()
    assert SEEN_IN_A_LOG not in platform.log.read_text()
    assert are_private(platform.data) == []


def check_that_it_could_be_found(stage: Stage, pids: list[int]) -> None:
    """Every key was on its way to its vendor, in the hands of a process or in one of its files."""
    shown = "\n".join(stage.repeating.shown)
    unseen = [name for name, key in KEYS.items() if name not in SHOWN_TO_NOBODY and key not in shown]
    assert unseen == [], "these vendors were not asked"
    held = Written()
    for pid in pids:
        held.add("environment", of_process(pid, "environ"))
    for file in MEANT_FOR_SECRETS:
        held.add(file, (stage.platform.data / file).read_bytes())
    found = {leak.partition(":")[0] for leak in held.leaks(stage.secrets)}
    expected = {name for name in stage.secrets if name in KEYS or name.startswith(WITHIN_THE_PLATFORM)}
    assert expected <= found, "the search does not find what is there"


@pytest.mark.parametrize("service", ["dialog_worker", "tts_worker", "stt_worker", "call_router"])
async def test_wrong_settings_are_told_without_their_values(service: str) -> None:
    secret = secrets.token_urlsafe(24)
    names = (
        "NATS_URL", "CALLBOT_WEBHOOK_KEYS", "CALLBOT_TOKEN_KEYS", "CALLBOT_JWT_KEYS", "CALLBOT_SECRET_KEYS",
        "OPENAI_BASE_URL", "CALLBOT_LLM_2_BASE_URL", "ELEVENLABS_BASE_URL", "PLAYHT_BASE_URL", "AWS_REGION",
        "MONGO_URL",
    )  # fmt: skip
    env = {**os.environ, **KEYS, **dict.fromkeys(names, f"ftp://user:{secret}@example.invalid"), **CHAINS}
    env |= {"CALLBOT_LLM": "openai", "CALLBOT_ROOM": f"many{secret}", "CALLBOT_WORKER_ID": f"?{secret}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"callbot.{service}"),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    written = Written()
    written.add(service, said)
    assert process.returncode != 0 and b"CALLBOT_WORKER_ID" in said
    assert written.leaks({**KEYS, "a wrong value": secret}) == []
