"""A load of one GET over kept connections, in a process of its own; what it saw is one JSON line.

Plain sockets instead of a client library: the generator shares the cores with what it measures.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from callbot.studio.bench.results import percentile

_ANSWER_WITHIN_S = 5.0


@dataclass
class Seen:
    """Latencies in milliseconds."""

    took_ms: list[float] = field(default_factory=list)
    failed: int = 0
    """No answer, or another status than 200."""
    late_ms: float = 0.0
    """The generator's own worst lateness: above a few ms its figures are doubtful."""


class Connection:
    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        credential = f"Authorization: Bearer {token}\r\n" if token else ""
        self._request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{credential}\r\n".encode()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self) -> bool:
        """Whether the answer was 200."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                return await self._get() == 200
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            self.close()
            return False

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _get(self) -> int:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        return int(head.split(b" ", 2)[1])


async def closed_loop(url: str, token: str, connections: int, seconds: float) -> Seen:
    """Each connection asks again as soon as it was answered."""
    seen, until = Seen(), time.monotonic() + seconds

    async def client() -> None:
        connection = Connection(url, token)
        while (began := time.monotonic()) < until:
            _note(seen, began, await connection.get())
        connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return seen


async def fixed_rate(url: str, token: str, rate: float, seconds: float) -> Seen:
    """Each request has its moment, whether or not earlier ones were answered: waiting counts as latency."""
    seen, idle = Seen(), list[Connection]()
    begins = time.monotonic() + 0.1

    async def one(due: float) -> None:
        connection = idle.pop() if idle else Connection(url, token)
        _note(seen, due, await connection.get())
        idle.append(connection)

    async with asyncio.TaskGroup() as requests:
        for number in range(round(rate * seconds)):
            due = begins + number / rate
            if (ahead := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            seen.late_ms = max(seen.late_ms, (time.monotonic() - due) * 1000)
            requests.create_task(one(due))
    for connection in idle:
        connection.close()
    return seen


def _note(seen: Seen, since: float, was_right: bool) -> None:
    seen.took_ms.append((time.monotonic() - since) * 1000)
    seen.failed += not was_right


def summary(seen: Seen, took_s: float, cpu_s: float) -> dict[str, float]:
    shares = {f"p{round(share * 100)}_ms": percentile(seen.took_ms, share) for share in (0.5, 0.95, 0.99)}
    return {
        "requests": len(seen.took_ms),
        "failed": seen.failed,
        "per_s": len(seen.took_ms) / took_s,
        **shares,
        "generator_late_ms": seen.late_ms,
        "generator_cpu_s": cpu_s,
    }


def main() -> None:
    """The token comes from standard input: a command line can be read by everybody."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, required=True)
    told = parser.parse_args()
    token = input()
    began, cpu_began = time.monotonic(), time.process_time()
    if told.rate:
        load = fixed_rate(told.url, token, told.rate, told.seconds)
    else:
        load = closed_loop(told.url, token, told.connections, told.seconds)
    seen = asyncio.run(load)
    print(json.dumps(summary(seen, time.monotonic() - began, time.process_time() - cpu_began)))


if __name__ == "__main__":
    main()
