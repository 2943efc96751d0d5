"""Piper's voice in its own process (GPL-3.0): a text in pieces, each piece as sound. It can be stopped."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

MIN_FIRST_PHONEMES = 8
"""A first clause shorter than this would end before the next piece is there."""
MIN_PHONEMES = 60
"""About 3 s of speech: later clauses are said together, for the melody."""
MAX_PHONEMES = 200
"""About 11 s: the longest time that others have to wait is what this takes."""
PEAK = 0.7
"""-3 dB of full scale: telephones are not made for more."""
SILENCE = 0.005
"""Of the peak: below, nothing is heard on a telephone."""
MARGIN_S = 0.01


def cut(sentence: list[str]) -> list[list[str]]:
    """A sentence's phonemes in pieces that end where a clause ends; the first one is short."""
    pieces: list[list[str]] = [[]]
    for at, phoneme in enumerate(sentence):
        piece = pieces[-1]
        piece.append(phoneme)
        enough = MIN_PHONEMES if len(pieces) > 1 else MIN_FIRST_PHONEMES
        clause_ends = phoneme == " " and sentence[at - 1] in ",;:" and len(piece) >= enough
        if clause_ends or (phoneme == " " and len(piece) >= MAX_PHONEMES):
            pieces.append([])
    return [piece for piece in pieces if any(not p.isspace() for p in piece)]


def without_leading_silence(samples: Samples, rate_hz: int) -> Samples:
    loud = np.abs(samples) > SILENCE * PEAK
    first = int(np.argmax(loud)) if loud.any() else 0
    return samples[max(0, first - int(MARGIN_S * rate_hz)) :]


def name_and_language(config: dict[str, Any], *, otherwise: str) -> tuple[str, str]:
    """As a voice's .json has them (`dataset`, `language.code`); the language is BCP 47, `und`: not said."""
    name = re.sub(r"[^\w.-]+", "-", str(config.get("dataset") or otherwise))[:64]
    language = config.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    return name, str(code or "und").replace("_", "-")


class Stopped(Exception):
    """The piece was not finished, on purpose."""


class StoppableSession:
    """An onnxruntime session; what it runs ends within milliseconds of `stop`, which any thread may call.

    By the flag `terminate` of the run's options, which onnxruntime looks at between two nodes of the graph
    (https://onnxruntime.ai/docs/api/python/api_summary.html#onnxruntime.RunOptions).
    """

    def __init__(self, session: Any, new_options: Callable[[], Any]) -> None:
        self._session = session
        self._new_options = new_options
        self._running: Any = None

    def run(self, outputs: Any, inputs: Any) -> Any:
        """Raises Stopped."""
        options = self._running = self._new_options()
        # It would write of each stop, as of an error.
        options.log_severity_level = 4
        try:
            return self._session.run(outputs, inputs, options)
        except Exception:
            if options.terminate:
                raise Stopped from None
            raise
        finally:
            self._running = None

    def stop(self) -> None:
        """Nothing happens where nothing runs. It may also hit the run that begins just then."""
        options = self._running
        if options is not None:
            options.terminate = True


class PiperVoice:
    """A loaded voice."""

    def __init__(self, model: Path, config: Path, threads: int) -> None:
        """Raises ImportError, OSError, ValueError and what onnxruntime raises for a file that is no model."""
        # onnxruntime 1.29 and later report to Microsoft unless this is set before they are loaded
        # (https://github.com/microsoft/onnxruntime/pull/27379).
        os.putenv("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime
        from piper import PiperVoice as Piper
        from piper.config import PiperConfig

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores from the other services between two sentences.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        said = json.loads(config.read_text("utf-8"))
        self._session = StoppableSession(session, onnxruntime.RunOptions)
        self._piper = Piper(self._session, PiperConfig.from_dict(said))
        self.rate_hz: int = self._piper.config.sample_rate
        self.name, self.language = name_and_language(said, otherwise=model.stem)

    def pieces(self, text: str) -> list[list[str]]:
        # Double brackets would be raw phonemes to Piper, and NUL the end of the text to espeak-ng.
        plain = re.sub(r"\[\[|\]\]|[\x00-\x1f\x7f]", " ", text)
        return [piece for sentence in self._piper.phonemize(plain) for piece in cut(sentence)]

    def sound(self, piece: list[str]) -> Samples:
        """Between -1 and 1, as loud as the model makes it. Raises Stopped."""
        audio = self._piper.phoneme_ids_to_audio(self._piper.phonemes_to_ids(piece))
        return np.asarray(audio[0] if isinstance(audio, tuple) else audio, dtype=np.float32).reshape(-1)

    def stop(self) -> None:
        """What is being spoken in another thread is not finished; whoever wants it begins it again."""
        self._session.stop()
