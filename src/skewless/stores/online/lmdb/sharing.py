"""LMDB environments of this process: opened once, shared, and carried over a fork.

LMDB wants a file opened once in a process: its locks belong to the (process, file) pair. Nor may
an open environment cross a fork: closing the copy would wipe the reader slots of the parent, whose
reads could then be overwritten. So environments live here, by real path, with a count of the stores
that use them, and are closed just before a fork; each side opens its own at its next call.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import NoReturn, cast

import lmdb

# Imported before the hooks below are registered, so that theirs run first before a fork: a writer
# that they wait for may need the registry, which may be SQLite.
from skewless.forks import FORK_PATIENCE_SECONDS
from skewless.stores.online.lmdb.environment import Environment

_lock = threading.RLock()
_environments: dict[str, Environment] = {}
_held: list[Environment] = []
"""Environments closed for the fork under way."""


def acquire(path: str, *, sync: bool, map_size: int) -> Environment:
    """Return the environment at the real path of ``path``, opened if this process has not yet."""
    with _lock:
        path = os.path.realpath(path)
        environment = _environments.get(path)
        if environment is None:
            environment = _environments[path] = Environment(path, sync=sync, map_size=map_size)
        environment.stores += 1
        return environment


def release(environment: Environment) -> None:
    """Count one store less, and close the environment with the last."""
    with _lock:
        environment.stores -= 1
        if environment.stores == 0:
            _environments.pop(environment.path, None)
            with environment.exclusive():
                environment.close()


@atexit.register
def _note_all() -> None:
    """Spare the next process a look at pages, where stores are not closed before the end."""
    for environment in _environments.values():
        if environment.opening is not None:
            environment.opening.note()


class _Lost:
    """Stands for an environment that a child must not use: its parent had not closed it."""

    def __init__(self, env: lmdb.Environment) -> None:
        self.kept = env  # letting it go could close it

    def __getattr__(self, name: str) -> NoReturn:
        raise lmdb.Error(f"{name}: the parent was writing while it forked")


def _before_fork() -> None:
    _lock.acquire()
    for environment in _environments.values():
        if environment.writer != threading.get_ident() and environment.write_lock.acquire(
            timeout=FORK_PATIENCE_SECONDS
        ):
            _held.append(environment)
            environment.close_gate()
            environment.env.close()


def _after_fork_in_parent() -> None:
    for environment in _held:
        environment.open_gate()
        environment.write_lock.release()
    _held.clear()
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - a lock held by a thread that is not here can only be replaced
    _lock = threading.RLock()
    for environment in _environments.values():
        environment.reset_locks()
        if environment not in _held:
            environment.lost_in_fork = True
            environment.env = cast(lmdb.Environment, _Lost(environment.env))
    _held.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
