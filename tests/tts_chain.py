"""A worker's chain of voices out of what a test has."""

from callbot.runtime.chain import Link
from callbot.runtime.guard import LocalGuard
from callbot.tts_worker.chain_synthesizer import ChainSynthesizer
from callbot.tts_worker.synthesizer import Synthesizer


def chain_of(
    scripted: Synthesizer | None = None, *, deadline_s: float = 20.0, **named: Synthesizer
) -> ChainSynthesizer:
    """In this order. `deadline_s`: to the first audio, of each."""
    providers = {**({"scripted": scripted} if scripted else {}), **named}
    links = [
        Link(name, provider, LocalGuard(name), deadline_s=deadline_s, stall_s=deadline_s)
        for name, provider in providers.items()
    ]
    return ChainSynthesizer(links, last_deadline_s=deadline_s)
