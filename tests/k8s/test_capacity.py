"""docs/capacity.md: its tables are those of its variables, and the variables those of code and manifests."""

import re

import pytest

from callbot.gateway import playout
from callbot.gateway.media_messages import media
from callbot.runtime.seat import BEAT_S
from callbot.runtime.usage import TELL_EVERY_S
from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, CallerAudio
from callbot.schemas.subjects import CALLER_AUDIO
from callbot.studio import capacity
from callbot.studio.emulator.stream_messages import StreamIds, TwilioVoice

from .cluster import ROOT, cluster
from .rules import SETTINGS, settings_of

TEXT = (ROOT / "docs" / "capacity.md").read_text()
V = capacity.variables(TEXT)
SID = "0" * 32


def test_the_tables_are_those_of_the_variables() -> None:
    assert capacity.written(TEXT) == TEXT
    assert capacity.written(TEXT.replace("| `gateway_ms` |", "| `gateway_ms` | 80 |", 1)) != TEXT


def test_a_missing_variable_or_mark_is_an_error() -> None:
    with pytest.raises(KeyError):
        capacity.written(TEXT.replace("| `beat_s` |", "| `beats` |"))
    with pytest.raises(ValueError, match="no marks"):
        capacity.written(TEXT.replace("capacity:end money", "capacity:finish money"))
    with pytest.raises(ValueError, match="twice"):
        capacity.variables(TEXT.replace("| `beat_s` |", "| `busy` |"))


def test_messages_have_the_sizes_that_the_code_sends() -> None:
    twilio = TwilioVoice(StreamIds(f"AC{SID}", f"CA{SID}", f"MZ{SID}"))
    for at_ms in range(0, 100_000, FRAME_MS):
        heard = twilio.media(b"\xff" * FRAME_BYTES, at_ms)
    said = media(f"MZ{SID}", b"\xff" * playout.CHUNK_BYTES)
    # RFC 6455, section 5.2: two bytes, two for lengths over 125, and a client's mask of four.
    sizes = {"json_in_bytes": len(heard), "json_out_bytes": len(said), "ws_in_bytes": 8, "ws_out_bytes": 4}
    times = {"frame_ms": FRAME_MS, "chunk_ms": playout.CHUNK_BYTES / BYTES_PER_MS, "beat_s": BEAT_S}
    frame = CallerAudio(1, 1, 20, b"\xff" * FRAME_BYTES).encode()
    # docs.nats.io/reference/reference-protocols/nats-protocol: PUB <subject> <bytes>, and after the payload.
    line = f"PUB {CALLER_AUDIO.of(call_id=f'CA{SID}')} {len(frame)}\r\n\r\n"
    broker = {"nats_frame_bytes": len(frame), "nats_line_bytes": len(line)}
    expected = sizes | times | broker | {"usage_s": TELL_EVERY_S}
    # A digit more or less of Twilio's counters is a byte.
    assert {name: V[name] for name in expected} == pytest.approx(expected, abs=2, rel=0)


def test_a_replica_is_what_the_manifests_say() -> None:
    found = cluster("prod")
    for role in capacity.ROLES:
        told = settings_of(found, role.name)
        assert V[role.room] == getattr(told, "max_calls", None) or V[role.room] == getattr(told, "room", None)
        requested = found.container(role.name)["resources"]["requests"]["cpu"]
        assert V[role.cores] == float(requested), role.name
        trigger = found.one("ScaledObject", role.name)["spec"]["triggers"][0]["metadata"]
        share = float(trigger["threshold"]) / (V[role.room] if role.name == "gateway" else 1)
        assert V["full_at"] == pytest.approx(share), role.name
    assert V["nats_servers"] == found.one("StatefulSet", "nats")["spec"]["replicas"]
    assert {role.name for role in capacity.ROLES} == SETTINGS.keys() - {"call-router"}


def test_the_arithmetic_by_hand() -> None:
    """One packet: 383 + 8 + 22 of TLS + 52 = 465 bytes, fifty times a second."""
    assert capacity.in_kbit(V) == pytest.approx(465 * 8 * 50 / 1000)
    # 2,225 + 4 + 22 = 2,251 bytes need two packets, five times a second.
    assert capacity.out_kbit(V) == pytest.approx((2251 + 2 * 52) * 8 * 5 / 1000)
    # (172 + 60) bytes, fifty times a second.
    assert capacity.frames_kbit(V) == pytest.approx(232 * 8 * 50 / 1000)
    simple = {**V, "gateway_ms": 10.0, "busy": 0.5, "gateway_room": 1000.0, "gateway_cores": 2.0}
    assert capacity.calls_per_replica(simple, capacity.ROLES[0]) == 100
    assert capacity.replicas(simple, capacity.ROLES[0], 1001) == 12


def test_a_cell_is_as_large_as_its_nats_allows() -> None:
    calls = capacity.cell_calls(V)
    budget = V["nats_servers"] * V["nats_server_cores"] * V["busy"]
    step = capacity.STEP_CALLS
    assert capacity.nats_cores(V, calls) <= budget < capacity.nats_cores(V, calls + step)
    assert capacity.cell_calls({**V, "nats_ms": V["nats_ms"] / 2}) > calls


def test_figures_that_are_to_be_measured_say_where() -> None:
    for name in ("gateway_ms", "stt_ms", "dialog_ms", "tts_ms", "nats_ms"):
        assert re.search(rf"^\| `{name}` .*docs/density\.md", TEXT, re.MULTILINE), name
