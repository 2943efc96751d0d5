"""The embedded language model: llama.cpp's OpenAI-compatible server in a process of its own."""

import argparse
import os
import signal
from pathlib import Path

SLOTS = 4
"""Requests that run at once; each slot keeps the beginning of its conversation's prompt."""
CONTEXT_TOKENS = 8192
"""Shared by the slots."""
_PROMPT_CACHE_MIB = 64
_QUIET = -1


def main() -> None:
    wanted = _arguments()
    # Blocked before the server's threads exist, so that they inherit it and the signal is ours to take.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = _served(wanted.port, wanted.weights, wanted.alias, wanted.threads)
    print(f"serves {wanted.alias} at {server.listening_address}", flush=True)
    signal.sigwait(ends)
    # The server's own end waits for answers that nobody wants any more.
    os._exit(0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def _served(port: int, weights: Path, alias: str, threads: int):  # type: ignore[no-untyped-def]
    """Returns when the model is loaded. Raises what the native library raises for a broken file."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS
    params.kv_unified = True
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.n_ctx_checkpoints = 0
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.ui = False
    params.verbosity = _QUIET
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
