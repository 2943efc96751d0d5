"""What Google's streaming recognition takes and how it answers, in both versions, with Google's own messages.

https://cloud.google.com/speech-to-text/docs/reference/rpc/google.cloud.speech.v2#streamingrecognizerequest
https://cloud.google.com/speech-to-text/docs/reference/rpc/google.cloud.speech.v1#streamingrecognizerequest
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol

from google.cloud.speech_v1.types import cloud_speech as v1
from google.cloud.speech_v2.types import cloud_speech as v2
from google.protobuf.duration_pb2 import Duration

from callbot.schemas.audio import BYTES_PER_MS
from tests.vendors.google_stt_ear import Happening, Understood, Voice

_RECOGNIZER = re.compile(r"projects/([a-z0-9-]+)/locations/([a-z0-9-]+)/recognizers/_")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?-[A-Z0-9]{2,3}")
V2_MODELS = {
    "telephony",
    "telephony_short",
    "long",
    "short",
    "latest_long",
    "latest_short",
    "chirp_2",
    "chirp_3",
}
V1_MODELS = {"telephony", "phone_call", "latest_long", "latest_short", "default", "command_and_search"}
WITHOUT_TIMES = {"chirp_3"}
WITHOUT_ADAPTATION = {"telephony", "telephony_short"}


class Wrong(Exception):
    """A message that the protocol does not allow."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True)
class Asked:
    """What the first message asks for."""

    model: str
    language: str
    interims: bool
    voice_events: bool
    times: bool
    hints: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        """What not every model takes, by the names of v2."""
        asked = {"config.adaptation": self.hints, "config.features.enable_word_time_offsets": self.times}
        return frozenset(field for field, value in asked.items() if value)


class Rules(Protocol):
    service: str

    def opening(self, data: bytes) -> Asked:
        """Raises Wrong."""

    def audio(self, data: bytes) -> bytes:
        """Raises Wrong."""

    def response(self, told: Happening, asked: Asked) -> bytes: ...


class RulesV2:
    service = "google.cloud.speech.v2.Speech"
    longest = 15 * 1024

    def __init__(self, project: str, location: str) -> None:
        self._place = (project, location)

    def opening(self, data: bytes) -> Asked:
        request = v2.StreamingRecognizeRequest.pb().FromString(data)
        place = _RECOGNIZER.fullmatch(request.recognizer)
        if place is None or place.groups() != self._place:
            raise Wrong("Invalid resource field value in the request.", "recognizer")
        if not request.HasField("streaming_config") or request.audio:
            raise Wrong("The first message must contain a streaming_config and no audio.")
        config = request.streaming_config.config
        explicit = config.explicit_decoding_config
        if (explicit.encoding, explicit.sample_rate_hertz, explicit.audio_channel_count) != (2, 8000, 1):
            raise Wrong("The encoding is not that of mu-law at 8000 Hz.", "config.explicit_decoding_config")
        if config.model not in V2_MODELS or len(config.language_codes) != 1:
            raise Wrong("The model does not exist in this location for this language.", "config.model")
        sets = config.adaptation.phrase_sets
        if sets and config.model in WITHOUT_ADAPTATION:
            raise Wrong("Recognizer does not support feature: speech_adaptation", "config.adaptation")
        if config.features.enable_word_time_offsets and config.model in WITHOUT_TIMES:
            raise Wrong(
                "Recognizer does not support feature: word_time_offsets",
                "config.features.enable_word_time_offsets",
            )
        features = request.streaming_config.streaming_features
        return _asked(
            config.model,
            config.language_codes[0],
            features.interim_results,
            features.enable_voice_activity_events,
            config.features.enable_word_time_offsets,
            [phrase.value for one in sets for phrase in one.inline_phrase_set.phrases],
        )

    def audio(self, data: bytes) -> bytes:
        request = v2.StreamingRecognizeRequest.pb().FromString(data)
        if request.recognizer or request.HasField("streaming_config"):
            raise Wrong("All messages after the first must contain only audio.")
        if not 0 < len(request.audio) <= self.longest:
            raise Wrong(f"Audio chunk can be of a maximum of {self.longest} bytes, and must not be empty.")
        audio: bytes = request.audio
        return audio

    def response(self, told: Happening, asked: Asked) -> bytes:
        message = v2.StreamingRecognizeResponse.pb()()
        _fill(message, told, asked, "offset")
        data: bytes = message.SerializeToString()
        return data


class RulesV1:
    service = "google.cloud.speech.v1.Speech"
    longest = 25_000

    def opening(self, data: bytes) -> Asked:
        request = v1.StreamingRecognizeRequest.pb().FromString(data)
        if request.WhichOneof("streaming_request") != "streaming_config":
            raise Wrong("Invalid audio content: the first message must contain a streaming_config.")
        streaming = request.streaming_config
        config = streaming.config
        if (config.encoding, config.sample_rate_hertz, config.audio_channel_count) != (3, 8000, 1):
            raise Wrong("Invalid recognition 'config': bad encoding", "config.encoding")
        if config.model not in V1_MODELS or streaming.single_utterance:
            raise Wrong("Incorrect model specified.", "config.model")
        if config.model == "phone_call" and not config.use_enhanced:
            raise Wrong("phone_call is an enhanced model.", "config.use_enhanced")
        return _asked(
            config.model,
            config.language_code,
            streaming.interim_results,
            streaming.enable_voice_activity_events,
            config.enable_word_time_offsets,
            [phrase for context in config.speech_contexts for phrase in context.phrases],
        )

    def audio(self, data: bytes) -> bytes:
        request = v1.StreamingRecognizeRequest.pb().FromString(data)
        if request.WhichOneof("streaming_request") != "audio_content":
            raise Wrong("Malordered Data Received. Expected audio_content none was set.")
        if not 0 < len(request.audio_content) <= self.longest:
            raise Wrong("Audio chunk is empty or too large.")
        audio: bytes = request.audio_content
        return audio

    def response(self, told: Happening, asked: Asked) -> bytes:
        message = v1.StreamingRecognizeResponse.pb()()
        _fill(message, told, asked, "time")
        data: bytes = message.SerializeToString()
        return data


def _asked(model: str, language: str, interims: bool, events: bool, times: bool, hints: list[str]) -> Asked:
    if not _LANGUAGE.fullmatch(language):
        raise Wrong("Invalid language code.", "config.language_codes")
    if len(hints) > 500 or any(not 0 < len(hint) <= 100 for hint in hints):
        raise Wrong("Too many phrases, or too long ones.", "config.adaptation")
    return Asked(model, language, interims, events, times, tuple(hints))


def _fill(message: Any, told: Happening, asked: Asked, time: str) -> None:
    if isinstance(told, Voice):
        message.speech_event_type = 2 if told.began else 3
        getattr(message, f"speech_event_{time}").CopyFrom(_duration(told.at_ms))
        return
    for text, stability in told.parts:
        result = message.results.add(is_final=told.final, stability=stability)
        getattr(result, f"result_end_{time}").CopyFrom(_duration(told.to_ms))
        best = result.alternatives.add(transcript=text, confidence=0.9 if told.final else 0.0)
        if asked.times:
            for word in told.words:
                added = best.words.add(word=word.text)
                getattr(added, f"start_{time}").CopyFrom(_duration(word.begin / BYTES_PER_MS))
                getattr(added, f"end_{time}").CopyFrom(_duration(word.end / BYTES_PER_MS))


def is_told(told: Happening, asked: Asked) -> bool:
    """Was it asked for?"""
    if isinstance(told, Understood):
        return told.final or asked.interims
    return asked.voice_events


def _duration(ms: float) -> Duration:
    return Duration(seconds=int(ms // 1000), nanos=round(ms % 1000 * 1_000_000))
