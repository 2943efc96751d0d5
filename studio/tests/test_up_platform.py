"""`callbot up` with scripted providers: the real command, the real processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from callbot.studio.up import Platform, PlatformFailed, running_platform
from callbot.studio.up.http_get import get

SERVICES = {"gateway", "call-router", "stt-worker", "dialog-worker", "tts-worker"}
SERVERS = {"nats", "mongo", "llm", "twilio"}
_MARK = "CALLBOT_TEST_MARK"


def marked(mark: str) -> list[int]:
    """Every living process that a platform with this mark has started, however far down."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"{_MARK}={mark}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                # It has ended while we looked, or is not ours.
                continue
    return found


async def until(holds: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def callbot(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "callbot.studio.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    data = tmp_path_factory.mktemp("platform")
    async with running_platform("--scripted", data=data, env={_MARK: data.name}) as running:
        yield running


async def test_a_ready_platform_answers(platform: Platform) -> None:
    status, body = await get(int(platform.url.rpartition(":")[2]), "/v1/bots", timeout_s=5)
    assert (status, json.loads(body)) == (200, [])


async def test_ps_names_every_process(platform: Platform) -> None:
    rows = json.loads((await asyncio.to_thread(callbot, "ps", "--json", "--data", str(platform.data))).stdout)
    assert {row["service"] for row in rows} == SERVICES | SERVERS
    assert all(set(row) == {"service", "replica", "pid", "port", "live_calls"} for row in rows)
    assert all(row["live_calls"] == 0 for row in rows)
    assert {row["pid"] for row in rows} < set(marked(platform.data.name))


async def test_secrets_are_for_the_owner_only(platform: Platform) -> None:
    for name in ("nats.conf", "token-keys", "twilio-accounts.json", "twilio-numbers.json"):
        assert (platform.data / name).stat().st_mode & 0o777 == 0o600
    assert "password" not in platform.log.read_text().lower().replace("plaintext passwords", "")


async def test_a_killed_part_is_started_again_and_said(platform: Platform) -> None:
    async def pid_of_mouth() -> int | None:
        return next((row["pid"] for row in await platform.ps() if row["service"] == "tts-worker"), None)

    killed = await pid_of_mouth()
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await until(lambda: "tts-worker-1 is ready again" in platform.log.read_text(), within_s=20)
    assert "tts-worker-1 ended (signal 9)" in platform.log.read_text()
    assert await pid_of_mouth() not in (None, killed)


async def test_a_second_platform_needs_its_own_data_directory(platform: Platform) -> None:
    second = await asyncio.to_thread(callbot, "up", "--scripted", "--port", "0", "--data", str(platform.data))
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.count("\n") == 1
    assert "is used by another running callbot up" in second.stderr


async def test_a_port_in_use_is_one_sentence(platform: Platform, tmp_path: Path) -> None:
    port = platform.url.rpartition(":")[2]
    second = await asyncio.to_thread(callbot, "up", "--scripted", "--port", port, "--data", str(tmp_path))
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"callbot up: port {port} on 127.0.0.1 is in use by another program: choose another with --port\n"
    )


async def test_sigterm_ends_everything_within_5_s(platform: Platform) -> None:
    """The last test of this platform."""
    assert marked(platform.data.name)
    platform.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await platform.process.wait() == 0
    assert marked(platform.data.name) == []
    assert (await asyncio.to_thread(callbot, "ps", "--data", str(platform.data))).returncode == 1


async def test_nothing_survives_a_killed_supervisor(tmp_path: Path) -> None:
    async with running_platform("--scripted", data=tmp_path, env={_MARK: tmp_path.name}) as platform:
        assert len(marked(tmp_path.name)) > len(SERVICES | SERVERS)
        platform.process.kill()
        try:
            await until(lambda: marked(tmp_path.name) == [], within_s=5)
        finally:
            for pid in marked(tmp_path.name):
                os.kill(pid, signal.SIGKILL)


async def test_a_service_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    env = {_MARK: tmp_path.name, "CALLBOT_DRAIN_S": "-1", "CALLBOT_ROOM": "none"}
    with pytest.raises(
        PlatformFailed, match=r"^callbot up: \w+-worker-1 could not start .*ROOM: Input should"
    ):
        async with running_platform("--scripted", data=tmp_path, env=env):
            pass
    assert marked(tmp_path.name) == []


async def test_a_platform_for_others_asks_who_they_are(tmp_path: Path) -> None:
    async with running_platform("--scripted", "--host", "0.0.0.0", data=tmp_path) as platform:
        status, body = await get(int(platform.url.rpartition(":")[2]), "/v1/bots", timeout_s=5)
        assert (status, json.loads(body)["error"]["code"]) == (401, "unauthorized")
        token = platform.twilio.accounts.platform.auth_token
        assert token and token not in platform.log.read_text()
