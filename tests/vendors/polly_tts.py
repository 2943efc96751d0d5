"""AWS Polly's SynthesizeSpeech and DescribeVoices. Signatures are checked with AWS's own botocore.

https://docs.aws.amazon.com/polly/latest/dg/API_SynthesizeSpeech.html
"""

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.vendors.http_audio import abort, spoken
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

ACCESS_KEY_ID: Final = "AKIATESTS"
SESSION_TOKEN: Final = "session-of-the-tests+/="
REGION: Final = "eu-central-1"
MAX_CHARACTERS: Final = 3000
PAGE: Final = 3
FIELDS: Final = frozenset(
    {"Engine", "LanguageCode", "LexiconNames", "OutputFormat", "SampleRate", "SpeechMarkTypes"}
    | {"Text", "TextType", "VoiceId"}
)
VOICES: Final = (
    {"Id": "Joanna", "LanguageCode": "en-US", "SupportedEngines": ["neural", "standard"]},
    {"Id": "Matthew", "LanguageCode": "en-US", "SupportedEngines": ["neural", "standard", "generative"]},
    {"Id": "Ivy", "LanguageCode": "en-US", "SupportedEngines": ["standard"]},
    {"Id": "Amy", "LanguageCode": "en-GB", "SupportedEngines": ["neural", "standard"]},
    {"Id": "Vicki", "LanguageCode": "de-DE", "SupportedEngines": ["neural", "standard"]},
    {"Id": "Lucia", "LanguageCode": "es-ES", "SupportedEngines": ["neural", "standard"]},
    {
        "Id": "Kajal",
        "LanguageCode": "en-IN",
        "AdditionalLanguageCodes": ["hi-IN"],
        "SupportedEngines": ["neural"],
    },
    {"Id": "Filiz", "LanguageCode": "tr-TR", "SupportedEngines": ["standard"]},
)
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_SIGNED: Final = frozenset({"host", "x-amz-date", "x-amz-security-token"})


class PollyTts(TtsVendor):
    name: ClassVar[str] = "polly"
    voice: ClassVar[str] = "Matthew"
    secrets: ClassVar[tuple[str, ...]] = (KEY, SESSION_TOKEN)

    def __init__(self) -> None:
        super().__init__()
        self.clock_ahead = timedelta()
        """Of AWS, before this machine's."""
        self.bodies: list[dict[str, str]] = []
        self.listed = 0
        self.unanswered = 0
        """So many of the next requests for speech end with a closed connection."""
        self._url = ""
        self._open = AsyncExitStack()

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_SESSION_TOKEN": SESSION_TOKEN,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_POLLY": self._url,
        }

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/speech", self._speech)
        app.router.add_get("/v1/voices", self._voices)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if (refused := self._admit(request, body)) is not None:
            return refused
        if self.unanswered:
            self.unanswered -= 1
            abort(request)
            return web.Response()
        asked = await request.json()
        self.bodies.append(asked)
        await self.begins(
            str(asked.get("Text", "")), voice=str(asked.get("VoiceId")), connection=request.transport
        )
        if (refused := self._bad_day() or self._wrong(request, asked)) is not None:
            return refused
        content_type = "audio/pcm" if self.day is Day.WRONG_RATE else "audio/mulaw"
        headers = {"Content-Type": content_type, "x-amzn-RequestCharacters": str(len(asked["Text"]))}
        return await spoken(self, request, asked["Text"], headers)

    async def _voices(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._admit(request, b"") or self._bad_day()) is not None:
            return refused
        if self.day is Day.MALFORMED:
            return web.Response(text=f"<html>{CHATTER}</html>", content_type="text/html")
        self.listed += 1
        begin = int(request.query.get("NextToken", "at=0/+").removeprefix("at=").removesuffix("/+"))
        page: dict[str, Any] = {"Voices": VOICES[begin : begin + PAGE]}
        if begin + PAGE < len(VOICES):
            # With what has to be encoded twice over in a signature.
            page["NextToken"] = f"at={begin + PAGE}/+"
        return web.json_response(page)

    def _admit(self, request: web.Request, body: bytes) -> web.Response | None:
        self.connects(request.transport)
        if self.day is Day.REFUSED:
            return self._refusal(403, "UnrecognizedClientException")
        now = datetime.now(UTC) + self.clock_ahead
        wrong = _wrong_signature(request, body, now)
        if wrong == "expired":
            return self._refusal(403, "InvalidSignatureException")
        if wrong:
            self.complaints.append(wrong)
            return self._refusal(403, "InvalidSignatureException")
        return None

    def _wrong(self, request: web.Request, asked: dict[str, str]) -> web.Response | None:
        """As AWS's model of the service has it."""
        wrong = ""
        if request.content_type != "application/json" or set(asked) - FIELDS:
            wrong = "SerializationException"
        elif asked.get("OutputFormat") != "mulaw" or asked.get("SampleRate") != "8000":
            wrong = "InvalidSampleRateException"
        elif asked.get("TextType") not in (None, "text"):
            wrong = "InvalidSsmlException"
        if wrong:
            self.complaints.append(wrong)
            return self._refusal(400, wrong)
        return self._cannot_say(asked)

    def _cannot_say(self, asked: dict[str, str]) -> web.Response | None:
        """What no client can always know ahead."""
        voice = next((voice for voice in VOICES if voice["Id"] == asked["VoiceId"]), None)
        if voice is None:
            return self._refusal(400, "ValidationException", f"Value '{asked['VoiceId']}' at 'voiceId'")
        if asked.get("Engine", "standard") not in voice["SupportedEngines"]:
            return self._refusal(400, "EngineNotSupportedException")
        if asked.get("LanguageCode") not in (
            None,
            voice["LanguageCode"],
            *voice.get("AdditionalLanguageCodes", ()),
        ):
            return self._refusal(400, "LanguageNotSupportedException")
        if len(asked["Text"]) > MAX_CHARACTERS:
            return self._refusal(400, "TextLengthExceededException")
        return None

    def _bad_day(self) -> web.Response | None:
        """Of those that show themselves before the first audio, but SLOW."""
        match self.day:
            case Day.BUSY:
                return self._refusal(400, "ThrottlingException")
            case Day.BUSY_FOR:
                return self._refusal(400, "ThrottlingException", **{"Retry-After": str(RETRY_AFTER_S)})
            case Day.BROKEN:
                return self._refusal(500, "ServiceFailureException")
            case Day.OUT_OF_QUOTA:
                return self._refusal(402, "ServiceQuotaExceededException")
        return None

    def _refusal(self, status: int, kind: str, text: str = "", **headers: str) -> web.Response:
        body = {"message": f"{text} {CHATTER} {KEY} {SESSION_TOKEN}"}
        date = format_datetime(datetime.now(UTC) + self.clock_ahead, usegmt=True)
        told = {"x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/coral/", "Date": date, **headers}
        return web.json_response(body, status=status, headers=told)


def _wrong_signature(request: web.Request, body: bytes, now: datetime) -> str:
    """What is wrong with it, `expired` if only its time is; empty: nothing."""
    match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if match is None:
        return "no signature of version 4"
    key_id, day, region, service, names, signature = match.groups()
    stamp = request.headers.get("X-Amz-Date", "")
    if (key_id, region, service) != (ACCESS_KEY_ID, REGION, "polly") or not stamp.startswith(day):
        return "a signature for something else"
    if not set(names.split(";")) >= _SIGNED or request.headers["X-Amz-Security-Token"] != SESSION_TOKEN:
        return "a signature of too little"
    copy = AWSRequest(request.method, str(request.url.origin()) + request.raw_path, data=body)
    for name in names.split(";"):
        copy.headers[name] = request.headers[name]
    copy.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(ACCESS_KEY_ID, KEY, SESSION_TOKEN), service, region)
    if signer.signature(signer.string_to_sign(copy, signer.canonical_request(copy)), copy) != signature:
        return "another signature"
    at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return "expired" if abs(now - at) > timedelta(minutes=5) else ""
