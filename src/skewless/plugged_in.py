"""Stores, tables and streams of other packages: what they raise is told as an error of theirs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skewless.errors import SkewlessError, StoreError, said_by

_VERBS = {
    "online_store": "read read_each read_few read_one neighbours write delete page scan tables "
    "drop compare_and_set change_together flush close",
    "stream": "open read lag describe close",
    "table": "chunks pieces take parts row_count schema arrow_schema",
}
"""What is asked of a class of each group."""


def guard(group: str, what: str, made: type[Any]) -> type[Any]:
    """Have the verbs of a class that plugs in raise errors of this package, which name it.

    Args:
        group: as for `plugins.find`.
        what: how errors call it, such as ``online store 'rocks'``.
        made: the class; it is changed.
    """
    for name in _VERBS.get(group, "").split():
        method = inspect.getattr_static(made, name, None)
        if inspect.isfunction(method) and method.__module__.partition(".")[0] != "skewless":
            setattr(made, name, _told(what, method))  # its bases may be somebody else's too
    return made


def _told(what: str, method: Callable[..., Any]) -> Callable[..., Any]:
    if hasattr(method, "_told"):
        return method

    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        with _telling(what, method):
            found = method(*arguments, **options)
        return each(found) if inspect.isgenerator(found) else found

    def each(found: Iterator[Any]) -> Iterator[Any]:
        with _telling(what, method):
            yield from found

    call._told = True  # type: ignore[attr-defined]
    return call


@contextmanager
def _telling(what: str, method: Callable[..., Any]) -> Iterator[None]:
    try:
        yield
    except (SkewlessError, NotImplementedError):
        raise
    except Exception as problem:
        raise StoreError(
            f"{what} failed",
            got=said_by(problem),
            where=f"{method.__module__}.{method.__qualname__}",
            hint="It is not of skewless: mend it where it comes from.",
        ) from problem
