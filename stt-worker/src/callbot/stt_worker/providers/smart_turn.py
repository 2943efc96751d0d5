"""Smart Turn v3.2 (https://github.com/pipecat-ai/smart-turn, BSD-2-Clause) on onnxruntime.

Its input are Whisper's log-mel features of the last 8 s (Radford et al. 2022, section 2.2): 80 bands, 10 ms
apart, of audio with zero mean and unit variance that is padded in front. The filters here are those of
Whisper up to 4 kHz, where telephone audio ends; above it Whisper's bands of such audio are empty too.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from callbot.runtime.errors import SettingsError
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.stt_worker.mulaw import FloatSamples

SAMPLES: Final = 8 * SAMPLE_RATE_HZ
HOP: Final = 80
N_FFT: Final = 200
BANDS: Final = 80
WHISPER_HZ: Final = 16_000
Floats = NDArray[np.float64]


class SmartTurn:
    def __init__(self, model: Path | None = None) -> None:
        """Raises SettingsError when the model cannot be loaded."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = model or packaged_model()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
            self.finished(np.zeros(SAMPLE_RATE_HZ, np.float32))
        except Exception as e:
            raise SettingsError(f"the prosody model {path} cannot be used: {type(e).__name__}") from e

    def finished(self, samples: FloatSamples) -> float:
        features = log_mel(samples)[np.newaxis]
        return float(self._session.run(None, {"input_features": features})[0].reshape(-1)[0])


def log_mel(samples: FloatSamples) -> NDArray[np.float32]:
    """8 kHz samples → (80, 800)."""
    heard = np.zeros(SAMPLES, np.float32)
    tail = samples[-SAMPLES:]
    heard[SAMPLES - len(tail) :] = tail
    heard = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)
    padded = np.pad(heard, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:-1]
    # Half the samples give a spectrum of half the height: twice, squared.
    power = 4 * np.abs(np.fft.rfft(frames * _WINDOW, axis=1)) ** 2
    log_power = np.log10(np.maximum(1e-10, _FILTERS @ power.T))
    log_power = np.maximum(log_power, log_power.max() - 8.0)
    features: NDArray[np.float32] = ((log_power + 4.0) / 4.0).astype(np.float32)
    return features


def _mel(hz: Floats) -> Floats:
    """Slaney's scale: linear up to 1 kHz, logarithmic above."""
    linear = hz * 3 / 200
    above: Floats = 15 + np.log(np.maximum(hz, 1000.0) / 1000) * 27 / np.log(6.4)
    return np.where(hz < 1000, linear, above)


def _hz(mel: Floats) -> Floats:
    above: Floats = 1000 * np.exp((np.maximum(mel, 15.0) - 15) * np.log(6.4) / 27)
    return np.where(mel < 15, mel * 200 / 3, above)


def _filters() -> Floats:
    """Whisper's 80 triangles over 0-8 kHz, on the bins of 8 kHz audio; (80, 101)."""
    edges = _hz(np.linspace(0.0, float(_mel(np.array([WHISPER_HZ / 2]))[0]), BANDS + 2))
    bins = np.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    triangles: Floats = np.maximum(0, np.minimum(rising, falling)) * area[:, None]
    return triangles


_FILTERS: Final = _filters()
_WINDOW: Final = np.hanning(N_FFT + 1)[:-1]


def packaged_model() -> Path:
    """The file in the package pipecat-ai, none of whose code is needed."""
    spec = find_spec("pipecat")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("it needs the package pipecat-ai, or CALLBOT_PROSODY_MODEL")
    folder = Path(spec.submodule_search_locations[0]) / "audio" / "turn" / "smart_turn" / "data"
    found = sorted(folder.glob("smart-turn-v3*cpu.onnx"))
    if not found:
        raise SettingsError("the package pipecat-ai carries no Smart Turn model")
    return found[-1]
