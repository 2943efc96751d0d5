"""One GET to a port of this machine, without a client library: `callbot up` and `ps` start quicker."""

import asyncio


async def get(port: int, path: str, *, timeout_s: float) -> tuple[int, bytes]:
    """Status and body. Raises OSError (nobody there, not HTTP) or TimeoutError."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        return int(head.split(b" ", 2)[1]), body
    except (IndexError, ValueError) as e:
        raise OSError(f"port {port} does not speak HTTP") from e


async def accepts(port: int, *, timeout_s: float) -> None:
    """Returns when something listens there. Raises OSError or TimeoutError."""
    async with asyncio.timeout(timeout_s):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
