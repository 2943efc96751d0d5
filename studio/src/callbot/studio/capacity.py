"""`python -m callbot.studio.capacity [--check]`: the tables of docs/capacity.md from its variables.

The file's variables are the input: a name, a value, a unit. What stands between the marks is made of them.
Pure arithmetic; where a formula stands in the text it stands here too.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

CALLS = (100, 1_000, 10_000, 100_000)
"""At once."""
BEGIN, END = "<!-- capacity:begin {} -->", "<!-- capacity:end {} -->"
VARIABLE = re.compile(r"^\| `([a-z_0-9]+)` \| ([0-9.]+) \|", re.MULTILINE)
STEP_CALLS = 50
Variables = Mapping[str, float]


def variables(text: str) -> dict[str, float]:
    """Raises ValueError: one stands there twice."""
    found = VARIABLE.findall(text)
    if len({name for name, _ in found}) < len(found):
        raise ValueError("a variable stands there twice")
    return {name: float(value) for name, value in found}


# On the wire


def wire_bits(v: Variables, message_bytes: float, websocket_bytes: float, every_ms: float) -> float:
    """Bits a second of one message each `every_ms`: WebSocket, a TLS record, TCP segments."""
    record = message_bytes + websocket_bytes + v["tls_bytes"]
    segments = ceil(record / v["segment_bytes"])
    return (record + segments * v["packet_bytes"]) * 8 * 1000 / every_ms


def in_kbit(v: Variables) -> float:
    """From Twilio, for the whole of a call."""
    return wire_bits(v, v["json_in_bytes"], v["ws_in_bytes"], v["frame_ms"]) / 1000


def out_kbit(v: Variables) -> float:
    """To Twilio, while the bot speaks."""
    return wire_bits(v, v["json_out_bytes"], v["ws_out_bytes"], v["chunk_ms"]) / 1000


def frames_kbit(v: Variables) -> float:
    """The caller's frames into NATS, as its protocol carries them; the same again to who hears."""
    return (v["nats_frame_bytes"] + v["nats_line_bytes"]) * 8 / v["frame_ms"]


def routed(v: Variables) -> float:
    """How often a message goes from one server to another: who hears is mostly not where it came in."""
    return (v["nats_servers"] - 1) / v["nats_servers"]


def nats_kbit(v: Variables) -> float:
    """Of one call through the network of NATS: in, between its servers, out."""
    once = (v["nats_bytes"] + v["nats_messages"] * v["nats_line_bytes"]) * 8 / 1000
    return once * (2 + routed(v))


# One cell: a NATS of three servers and all that is connected to it


@dataclass(frozen=True)
class Role:
    """One kind of service: which variables say what it costs and how much one replica takes."""

    name: str
    cost_ms: str
    cores: str
    room: str


ROLES = (
    Role("gateway", "gateway_ms", "gateway_cores", "gateway_room"),
    Role("stt-worker", "stt_ms", "stt_cores", "stt_room"),
    Role("dialog-worker", "dialog_ms", "dialog_cores", "dialog_room"),
    Role("tts-worker", "tts_ms", "tts_cores", "tts_room"),
)


def calls_per_replica(v: Variables, role: Role) -> int:
    """Whatever ends first: its seats, filled as far as the scaler lets them be, or its cores."""
    seats = v[role.room] * v["full_at"]
    cores = v[role.cores] * v["busy"] * 1000 / v[role.cost_ms]
    return max(1, floor(min(seats, cores)))


def replicas(v: Variables, role: Role, calls: float) -> int:
    """In one cell; one more than it needs, for the one that dies."""
    return ceil(calls / calls_per_replica(v, role)) + 1


def workers(v: Variables, calls: float) -> int:
    return sum(replicas(v, role, calls) for role in ROLES[1:])


def beats_delivered(v: Variables, calls: float) -> float:
    """A second: every gateway hears every worker of its cell."""
    return workers(v, calls) / v["beat_s"] * replicas(v, ROLES[0], calls)


def nats_cores(v: Variables, calls: float) -> float:
    """All servers of a cell. A message is on the server of who sends and of who hears: mostly two."""
    message_ms = v["nats_alone_ms"] / (2 * v["nats_messages"])
    return (calls * v["nats_ms"] * (1 + routed(v)) + beats_delivered(v, calls) * message_ms) / 1000


def cell_calls(v: Variables) -> int:
    """The largest number of calls that the cell's NATS carries."""
    budget = v["nats_servers"] * v["nats_server_cores"] * v["busy"]
    calls = STEP_CALLS
    while nats_cores(v, calls + STEP_CALLS) <= budget:
        calls += STEP_CALLS
    return calls


def cells(v: Variables, calls: int) -> int:
    return ceil(calls / cell_calls(v))


# All of it


def in_all(v: Variables, role: Role, calls: int) -> int:
    n = cells(v, calls)
    return n * replicas(v, role, calls / n)


def router_cores(v: Variables, calls: int) -> float:
    return calls / (v["call_minutes"] * 60) * v["router_ms_a_call"] / 1000 / v["busy"]


def cores(v: Variables, calls: int) -> float:
    """Requested of the cluster: replicas, routers and NATS."""
    n = cells(v, calls)
    services = sum(in_all(v, role, calls) * v[role.cores] for role in ROLES)
    return services + router_cores(v, calls) + n * v["nats_servers"] * v["nats_server_cores"]


def events(v: Variables, calls: int) -> float:
    """A second, into the stream `call-events` and from there into the database."""
    a_call = 2 + v["turns_per_minute"] * v["call_minutes"] + 3 * v["call_minutes"] * 60 / v["usage_s"]
    return calls / (v["call_minutes"] * 60) * a_call


# Money, for one minute of one call


def llm_price(v: Variables) -> float:
    a_turn = v["tokens_in"] * v["price_million_in"] + v["tokens_out"] * v["price_million_out"]
    return v["turns_per_minute"] * a_turn / 1e6


def tts_price(v: Variables) -> float:
    return 60 * v["bot_speaks"] * v["characters_s"] * v["price_million_characters"] / 1e6


def traffic_price(v: Variables) -> float:
    gigabytes = 60 * out_kbit(v) * v["bot_speaks"] / 8 / 1e6
    return gigabytes * v["price_gigabyte_out"]


def machine_price(v: Variables, calls: int) -> float:
    return cores(v, calls) * v["price_core_hour"] / 60 / calls


def price(v: Variables, calls: int) -> float:
    vendors = v["price_phone_minute"] + v["price_stt_minute"] + llm_price(v) + tts_price(v)
    return vendors + traffic_price(v) + machine_price(v, calls)


# The tables


def number(value: float) -> str:
    """Three digits that count, and no more than that is known."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def one_call(v: Variables) -> str:
    rows = [
        ("from Twilio", f"{number(in_kbit(v))} kbit/s", "the whole call"),
        ("to Twilio", f"{number(out_kbit(v))} kbit/s", "while the bot speaks"),
        ("to Twilio, on average", f"{number(out_kbit(v) * v['bot_speaks'])} kbit/s", "`bot_speaks`"),
        ("the caller's frames into NATS", f"{number(frames_kbit(v))} kbit/s", "and out of it again"),
        ("everything through NATS", f"{number(nats_kbit(v))} kbit/s", "in, between its servers, and out"),
        ("messages into NATS", f"{number(v['nats_messages'])} a second", "50 of them the caller's frames"),
    ]
    lines = [f"| {what} | {much} | {when} |" for what, much, when in rows]
    return "\n".join(["| | | |", "|---|---|---|", *lines])


def one_replica(v: Variables) -> str:
    lines = [f"| {role.name} | {calls_per_replica(v, role)} |" for role in ROLES]
    lines.append(f"| a cell (its NATS) | {number(cell_calls(v))} |")
    return "\n".join(["| | calls |", "|---|---|", *lines])


def by_calls(v: Variables) -> str:
    rows: list[tuple[str, Callable[[int], float]]] = [
        ("calls that begin a second", lambda n: n / (v["call_minutes"] * 60)),
        ("from Twilio, Mbit/s", lambda n: n * in_kbit(v) / 1000),
        ("to Twilio, Mbit/s", lambda n: n * out_kbit(v) * v["bot_speaks"] / 1000),
        ("through the network of NATS, Mbit/s", lambda n: n * nats_kbit(v) / 1000),
        ("cells", lambda n: cells(v, n)),
        *((f"{role.name}, replicas", lambda n, role=role: in_all(v, role, n)) for role in ROLES),
        ("call-router, cores", lambda n: router_cores(v, n)),
        ("messages of calls into NATS, a second", lambda n: n * v["nats_messages"]),
        ("beats out of NATS, a second, in one cell", lambda n: beats_delivered(v, n / cells(v, n))),
        ("cores that NATS uses, in one cell", lambda n: nats_cores(v, n / cells(v, n))),
        ("events into the database, a second", lambda n: events(v, n)),
        ("cores requested in all", lambda n: cores(v, n)),
        ("machines, for a call-minute", lambda n: machine_price(v, n)),
        ("everything, for a call-minute", lambda n: price(v, n)),
        ("everything, an hour", lambda n: price(v, n) * 60 * n),
    ]
    head = "| calls at once | " + " | ".join(f"{n:,}" for n in CALLS) + " |"
    lines = [f"| {what} | " + " | ".join(number(of(n)) for n in CALLS) + " |" for what, of in rows]
    return "\n".join([head, "|---|" + "---:|" * len(CALLS), *lines])


def money(v: Variables) -> str:
    rows = [
        ("telephone and media stream", v["price_phone_minute"]),
        ("recogniser", v["price_stt_minute"]),
        ("language model", llm_price(v)),
        ("voice", tts_price(v)),
        ("traffic to Twilio", traffic_price(v)),
        (f"machines, at {CALLS[1]:,} calls", machine_price(v, CALLS[1])),
        ("together", price(v, CALLS[1])),
    ]
    return "\n".join(["| for a call-minute | |", "|---|---:|", *(f"| {w} | {p:.5f} |" for w, p in rows)])


TABLES = {"one-call": one_call, "one-replica": one_replica, "by-calls": by_calls, "money": money}


def written(text: str) -> str:
    """The file as its variables want it. Raises KeyError, ValueError: a variable or a mark is missing."""
    v = variables(text)
    for name, table in TABLES.items():
        before, begin, rest = text.partition(BEGIN.format(name))
        _, end, after = rest.partition(END.format(name))
        if not begin or not end:
            raise ValueError(f"no marks for {name}")
        text = f"{before}{begin}\n{table(v)}\n{end}{after}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("file", type=Path, nargs="?", default=Path("docs/capacity.md"))
    wanted = parser.parse_args()
    text = wanted.file.read_text()
    if wanted.check and written(text) != text:
        sys.exit(f"stale: {wanted.file}; run `python -m callbot.studio.capacity`")
    wanted.file.write_text(written(text))


if __name__ == "__main__":
    main()
