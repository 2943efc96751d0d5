"""The long campaigns, in short: they run, measure and judge."""

from pathlib import Path

import pytest

from callbot.studio.bench.api import ApiPlan, api
from callbot.studio.bench.density import DensityPlan, density
from callbot.studio.bench.latency import LatencyPlan, measure
from callbot.studio.bench.results import Results
from callbot.studio.bench.soak import SoakPlan, soak


async def test_latency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = LatencyPlan(
        turns=3, calls=1, turns_per_call=3, webhook_ms=5, suggest="full", scripted=True, seed=1
    )
    out = tmp_path / "latency.jsonl"
    assert await measure(plan, out, resume=False) == 0
    table = capsys.readouterr().out
    assert "voice to voice at the ear" in table and "webhook" in table
    assert len(Results(out, vars(plan), resume=True).rows) == 3


async def test_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = SoakPlan(calls=24, at_once=8, turns=1, replicas=1, seed=1)
    assert await soak(plan, tmp_path / "soak.jsonl", resume=False) == 0, capsys.readouterr().out


async def test_api(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ApiPlan(rates=(20.0,), seconds=1.0, connections=2, replicas=1, cores=2)
    assert await api(plan, tmp_path / "api.jsonl", resume=False) == 0, capsys.readouterr().out
    table = capsys.readouterr().out
    assert "at 20 a second" in table and "call-router-1" in table and "load generator" in table


async def test_density(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = DensityPlan(begin=4, step=4, most=4, seconds=3.0, vad="energy")
    # Whether a busy machine carries them in time is not for a test to say.
    await density(plan, tmp_path / "density.jsonl", resume=False)
    told = capsys.readouterr().out
    row = Results(tmp_path / "density.jsonl", vars(plan), resume=True).rows[-1]
    assert (row["calls"], row["failed"], row["lost"]) == (4, 0, 0), told
    assert row["caller_ms"]["n"] > 4 * 50 and row["bot_ms"]["n"] > 0, told
    assert row["cpu_s"]["gateway-1"] > 0 and "nats-1" in row["cpu_s"], told
    assert row["cpu_s"]["load generator-1"] > 0, told
