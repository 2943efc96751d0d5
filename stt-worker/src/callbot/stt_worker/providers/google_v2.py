"""Google Cloud Speech v2 (`google.cloud.speech.v2`), as the package google-cloud-speech generates it."""

from collections.abc import Iterable, Sequence
from typing import Any

from google.cloud.speech_v2.types import cloud_speech
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
_MULAW = int(cloud_speech.ExplicitDecodingConfig.AudioEncoding.MULAW)


class V2:
    method = "/google.cloud.speech.v2.Speech/StreamingRecognize"

    def __init__(self, project: str, location: str, model: str) -> None:
        self._recognizer = f"projects/{project}/locations/{location}/recognizers/_"
        self._model = model

    def opening(self, language: str, hints: Sequence[str], refused: Iterable[str]) -> bytes:
        request = _Request(recognizer=self._recognizer)
        streaming = request.streaming_config
        streaming.streaming_features.interim_results = True
        streaming.streaming_features.enable_voice_activity_events = True
        config = streaming.config
        config.model = self._model
        config.language_codes.append(regional(language))
        config.explicit_decoding_config.encoding = _MULAW
        config.explicit_decoding_config.sample_rate_hertz = SAMPLE_RATE_HZ
        config.explicit_decoding_config.audio_channel_count = 1
        config.features.enable_automatic_punctuation = True
        config.features.enable_word_time_offsets = self._tells_times and WORD_TIMES not in refused
        if hints and self._takes_hints and ADAPTATION not in refused:
            # Without a boost of our own: some models refuse one ("speech_adaptation_boost").
            phrase_set = config.adaptation.phrase_sets.add().inline_phrase_set
            for phrase in phrases(hints):
                phrase_set.phrases.add(value=phrase)
        data: bytes = request.SerializeToString()
        return data

    def audio(self, audio: bytes) -> bytes:
        data: bytes = _Request(audio=audio).SerializeToString()
        return data

    def response(self, data: bytes) -> Response:
        try:
            told = _Response.FromString(data)
        except DecodeError as e:
            raise ValueError("no response") from e
        results = [result(r, "result_end_offset", "start_offset", "end_offset") for r in told.results]
        return Response(results, told.speech_event_type == SPEECH_ENDED)

    @property
    def _takes_hints(self) -> bool:
        """`telephony` refuses adaptation."""
        return not self._model.startswith("telephony")

    @property
    def _tells_times(self) -> bool:
        """https://docs.cloud.google.com/speech-to-text/docs/models/chirp-3: no times of words."""
        return not self._model.startswith("chirp_3")
