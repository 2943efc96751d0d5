"""Google Cloud Speech v1 (`google.cloud.speech.v1`), as the package google-cloud-speech generates it."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.cloud.speech_v1.types import cloud_speech
from google.protobuf.message import DecodeError

from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.stt_worker.providers.google_wire import (
    ADAPTATION,
    SPEECH_ENDED,
    WORD_TIMES,
    Response,
    phrases,
    regional,
    result,
)

_Request: Any = cloud_speech.StreamingRecognizeRequest.pb()
_Response: Any = cloud_speech.StreamingRecognizeResponse.pb()
_MULAW = int(cloud_speech.RecognitionConfig.AudioEncoding.MULAW)
ENHANCED: Final = frozenset({"phone_call", "video"})


class V1:
    method = "/google.cloud.speech.v1.Speech/StreamingRecognize"

    def __init__(self, model: str) -> None:
        self._model = model

    def opening(self, language: str, hints: Sequence[str], refused: Iterable[str]) -> bytes:
        request = _Request()
        streaming = request.streaming_config
        streaming.interim_results = True
        streaming.enable_voice_activity_events = True
        config = streaming.config
        config.encoding = _MULAW
        config.sample_rate_hertz = SAMPLE_RATE_HZ
        config.audio_channel_count = 1
        config.language_code = regional(language)
        config.model = self._model
        config.use_enhanced = self._model in ENHANCED
        config.enable_automatic_punctuation = True
        config.enable_word_time_offsets = WORD_TIMES not in refused
        if hints and ADAPTATION not in refused:
            config.speech_contexts.add().phrases.extend(phrases(hints))
        data: bytes = request.SerializeToString()
        return data

    def audio(self, audio: bytes) -> bytes:
        data: bytes = _Request(audio_content=audio).SerializeToString()
        return data

    def response(self, data: bytes) -> Response:
        try:
            told = _Response.FromString(data)
        except DecodeError as e:
            raise ValueError("no response") from e
        results = [result(r, "result_end_time", "start_time", "end_time") for r in told.results]
        return Response(results, told.speech_event_type == SPEECH_ENDED, told.error.code)
