"""The directory that one platform keeps its data in."""

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from callbot.runtime.keyring import new_key
from callbot.studio.up.problems import CannotStart


class DataDir:
    """Locked while the block runs, so that two platforms never share a store. Raises CannotStart on entry."""

    def __init__(self, path: Path, *, min_free_mib: int) -> None:
        self.path = path.absolute()
        self._min_free_mib = min_free_mib
        self._lock: BinaryIO | None = None

    def __enter__(self) -> "DataDir":
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            # The embedded database asks for no password: its files are for this user alone.
            self.path.chmod(0o700)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"\0" * 4096)
            self._take_lock()
            self._check_room()
        except OSError as e:
            self.__exit__(None, None, None)
            reason = "the disk is full" if e.errno == errno.ENOSPC else e.strerror
            raise CannotStart(f"the data directory {self.path} cannot be written: {reason}") from e
        except CannotStart:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    @property
    def lock_fd(self) -> int:
        """Who inherits it keeps the directory locked."""
        if self._lock is None:
            raise ValueError("the data directory is not locked")
        return self._lock.fileno()

    def keys(self, purpose: str) -> str:
        """A key ring of one random key: made at the first start, the same ever after."""
        path = self.path / f"{purpose}-keys"
        if not path.exists():
            write_private(path, new_key(f"k{secrets.token_hex(4)}"))
        return path.read_text().strip()

    def _take_lock(self) -> None:
        self._lock = (self.path / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise CannotStart(
                f"the data directory {self.path} is used by another running callbot up: "
                "stop that one, or choose another with --data"
            ) from e

    def _check_room(self) -> None:
        free_mib = shutil.disk_usage(self.path).free // 2**20
        if free_mib < self._min_free_mib:
            raise CannotStart(
                f"the disk of {self.path} has only {free_mib} MiB free, {self._min_free_mib} MiB are needed"
            )


def is_locked(path: Path) -> bool:
    """Whether a platform runs on this data directory."""
    try:
        with (path / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def write_private(path: Path, text: str) -> None:
    """Replaces the file as a whole; only its owner may read it."""
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
