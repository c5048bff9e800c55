"""Whose turn it is to write: asked before LMDB is, whose own lock would be waited for for ever.

A process that is stopped inside a transaction holds LMDB's lock until it goes on or dies. So
writers take a lock of the file first (``flock``), which can be given up, and whose holder the
system names. LMDB's lock stays what keeps writers apart; this one only says who is first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from skewless.errors import StoreUnavailable

STOPPED_SECONDS = 10.0
"""How long a process that is stopped is waited for."""
BUSY_SECONDS = 300.0
"""How long one is waited for that runs: its transaction may be a large one."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.005
_LOOK_EVERY = 1.0


class WriteTurn:
    """The turn of this process to write; its threads take it one after the other.

    Args:
        path: the folder of the store.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Wait for the turn.

        Raises:
            StoreUnavailable: another process has it for too long; the error names it.
        """
        pause, began, look = _FIRST_PAUSE, time.monotonic(), _LOOK_EVERY
        while not self.try_take():
            waited = time.monotonic() - began
            if waited >= min(look, STOPPED_SECONDS):
                look = waited + _LOOK_EVERY
                self._check(waited)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def try_take(self) -> bool:
        """Take the turn if nobody has it; say whether."""
        if self._file is None:
            name = os.path.join(self._path, "data.mdb")
            self._file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _check(self, waited: float) -> None:
        process = holder(self._file) if self._file is not None else None
        stopped = process is not None and _state(process) in ("T", "t")
        limit = STOPPED_SECONDS if stopped else BUSY_SECONDS
        if waited < limit:
            return
        hint = "Find it with: lsof data.mdb"
        if process is not None:
            hint = f"Let it go on (kill -CONT {process}) or end it: nothing half-written stays."
        raise StoreUnavailable(
            "another process is in a transaction of the online store"
            + (", and is stopped" if stopped else ""),
            got=_described(process),
            expected=f"a turn to write within {limit:g} seconds",
            where=self._path,
            hint=hint,
        )

    def give_back(self) -> None:
        """Let others have the turn."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let the file go; in a child of a fork, the turn of its parent stays the parent's."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def holder(file: int) -> int | None:
    """Return the process that has locked a file, where the system tells."""
    inode = os.fstat(file).st_ino
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:  # 1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode) and int(words[4]) > 0:
            return int(words[4])
    return None


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _described(process: int | None) -> str:
    if process is None:
        return "a process that the system does not name"
    words = b""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes()
    command = words.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return f"process {process}" + (f": {command[:120]}" if command else "")
