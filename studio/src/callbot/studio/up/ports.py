"""Free ports, and the public one held for as long as the platform runs."""

import errno
import random
import socket
import sys

from callbot.studio.up.problems import CannotStart

_BELOW_EPHEMERAL = range(20_000, 32_000)
"""Outgoing connections get higher ports: these stay free between our look and the child's bind."""


class FreePorts:
    """Ports on 127.0.0.1 that nobody uses now, each given out once."""

    def __init__(self) -> None:
        self._left = iter(random.sample(_BELOW_EPHEMERAL, len(_BELOW_EPHEMERAL)))

    def take(self) -> int:
        """Raises CannotStart when there is none left."""
        for port in self._left:
            if _is_free(port) and _is_claimed(port):
                return port
        raise CannotStart("this machine has no free ports between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_claimed(port: int) -> bool:
    """For as long as this process lives, against platforms that start at the same moment; on Linux."""
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0callbot-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


def hold_port(host: str, port: int) -> socket.socket:
    """A socket bound to the public port that never listens: gateways share it by SO_REUSEPORT, nobody else
    can take it while one of them restarts. Port 0 takes a free one. Raises CannotStart."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        _refuse_taken(family, address)
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as e:
        if e.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"port {port} on {host} is in use by another program: choose another with --port"
            ) from e
        raise CannotStart(f"cannot listen on {host} port {port}: {e.strerror}") from e
    return held


def _refuse_taken(family: int, address: tuple[object, ...]) -> None:
    """Without SO_REUSEPORT a bind fails even where the present listener would share."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
