"""The settings that a server was started with, for the processes that it starts later.

    process.stdin.write(handed(config))           # the server
    config = taken(sys.stdin.buffer.readline())   # a process of it

A process that read the file of settings itself would read what it says by then: after an edit, one
worker of a server would answer from another store than the others do, and a job write to it. The
line is written to the standard input, which nobody else can read, because it may hold secrets;
variables (``${NAME}``) and what is in files that they name are read anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from skewless.config import Config


def handed(config: Config) -> bytes:
    """Return a line for a process of a server."""
    file = None if config.file is None else str(config.file)
    told = {"folder": str(config.folder), "file": file, "written": dict(config.written)}
    return json.dumps(told, default=str).encode() + b"\n"


def taken(line: bytes) -> Config:
    """Return the settings that stand in a line of `handed`.

    Raises:
        EOFError: there is none: the server has ended.
        ConfigError: a variable is no longer set.
    """
    if not line:
        raise EOFError("no settings were handed over")
    told = json.loads(line)
    file = None if told["file"] is None else Path(told["file"])
    return Config.of(Path(told["folder"]), told["written"], file=file)
