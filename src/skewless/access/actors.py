"""Who acts: a person or a service, by name.

>>> checked_actor("service:checkout")
'service:checkout'
>>> checked_actor("checkout")
Traceback (most recent call last):
    ...
skewless.errors.InputError: not an actor. Got: 'checkout'. Expected: user:NAME or service:NAME.

A process on a repo acts for somebody too: who ``SKEWLESS_ACTOR`` names, else the user it runs as.
That is what it says of itself, and no proof: a process that can open the registry could say
anything. Proof is what keys and tokens of `skewless serve` are for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from skewless.errors import InputError

VARIABLE = "SKEWLESS_ACTOR"
KINDS = ("user", "service")
"""What an actor can be."""
_acting: ContextVar[str] = ContextVar("acting", default="")
_NAME = re.compile(r"[\w.@/+=|%:-]{1,120}\Z")


def checked_actor(text: str, *, kinds: tuple[str, ...] = KINDS, where: str | None = None) -> str:
    """Return ``kind:name`` if it is one.

    Args:
        text: what was given.
        kinds: those that may be named.
        where: named in the error.

    Raises:
        InputError: it is none.
    """
    kind, _, name = text.partition(":")
    if kind not in kinds or not _NAME.match(name):
        expected = " or ".join(f"{kind}:NAME" for kind in kinds)
        raise InputError("not an actor", got=repr(text), expected=expected, where=where)
    return text


def process_actor() -> str:
    """Return for whom this process acts.

    Raises:
        InputError: ``SKEWLESS_ACTOR`` names nobody.
    """
    if said := os.environ.get(VARIABLE):
        return checked_actor(said, where=VARIABLE)
    return f"user:{_user()}"


def acting() -> str:
    """Return for whom what is done now is done: who is named within, else this process."""
    return _acting.get() or process_actor()


def caller() -> str:
    """Return who makes a change, for the record: ``user@host``, behind the actor if one is named.

    Raises:
        InputError: ``SKEWLESS_ACTOR`` names nobody.
    """
    import socket

    here = f"{_user()}@{socket.gethostname()}"
    named = _acting.get() or (process_actor() if os.environ.get(VARIABLE) else "")
    return f"{named} ({here})" if named else here


@contextmanager
def acting_for(actor: str) -> Iterator[None]:
    """Do what follows for somebody, so that the record says so; empty: for this process itself.

    >>> with acting_for("service:nightly"):
    ...     caller().partition(" ")[0]
    'service:nightly'
    """
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "unknown"
