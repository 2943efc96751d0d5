"""The bench of the providers against the tests' own servers of the vendors."""

import json
import os
from pathlib import Path

import pytest

from callbot.studio.bench.providers import SUBJECTS, ProvidersPlan, print_table, providers
from tests.contract import stt_suite, tts_suite

SERVERS = "tests.vendors"


def plan(*only: str, requests: int = 3, limit_ms: float = 1000.0, servers: str = SERVERS) -> ProvidersPlan:
    return ProvidersPlan(requests, only, servers, limit_ms)


def test_every_vendor_that_has_a_server_is_measured() -> None:
    """Not each variant of a server: those of one provider with the same requests are one."""
    measured = {(s.role, s.provider, s.server) for s in SUBJECTS}
    assert {("stt", name) for name, _ in stt_suite.SERVERS.values()} <= {m[:2] for m in measured}
    wanted = {("tts", row.partition("-")[0], server) for row, server in tts_suite.SERVERS.items()}
    assert {m for m in measured if m[0] == "tts"} == wanted


@pytest.mark.parametrize("only", ["DeepgramNova", "DeepgramTts", "OpenAITranscription", "llm"])
async def test_a_provider_is_measured_and_can_be_gone_on_with(
    only: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    out = tmp_path / "providers.jsonl"
    assert await providers(plan(only), out, resume=False) == 0
    settings, *rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert settings["requests"] == 3
    assert [row["warm"] for row in rows] == [False, True, True, True]
    assert all(row["first_ms"] > row["own_ms"] >= 0 for row in rows)
    assert await providers(plan(only), out, resume=True) == 0
    assert len(out.read_text().splitlines()) == 5
    assert "0 over 1000 ms at the median" in capsys.readouterr().out
    assert dict(os.environ) == before


async def test_a_provider_without_a_server_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = plan("DeepgramNova", servers="tests.no_vendors")
    assert await providers(nowhere, tmp_path / "providers.jsonl", resume=False) == 1
    assert "ModuleNotFoundError" in capsys.readouterr().out


async def test_a_name_that_nobody_has_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await providers(plan("elevenlab"), tmp_path / "providers.jsonl", resume=False) == 1
    assert "no such provider: elevenlab; there are cartesia, deepgram," in capsys.readouterr().out


def test_what_is_over_the_limit_fails(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"subject": "tts x", "first_ms": 30.0, "own_ms": 1.0, "warm": False}]
    rows += [
        {"subject": "tts x", "first_ms": first_ms, "own_ms": 1.0, "warm": True} for first_ms in (5, 7, 9)
    ]
    assert print_table(plan(limit_ms=5.9), rows) == 1
    assert print_table(plan(limit_ms=6), rows) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tts x"))
    assert line.split()[2:7] == ["6.00", "8.00", "8.00", "29.00", "3"]
