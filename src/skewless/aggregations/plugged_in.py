"""Aggregations of packages and repos: what they raise, or give that does not fit, is told by name.

Nothing they do leaves a verb as an error of Python's, and nothing that they give is taken for a
value of another type. Those of this package are held to `compute` by the laws, and not slowed down.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skewless.errors import InputError, said_by
from skewless.types import DType

_FORMS = ("compute", "summary", "sweep", "finish", "decide")


def guard(made: type[Any]) -> None:
    """Have the methods of a class tell what they raise as an error that names the aggregation."""
    for form in _FORMS:
        method = made.__dict__.get(form)
        if inspect.isfunction(method):
            setattr(made, form, _guarded(method))
        elif isinstance(method, classmethod):
            setattr(made, form, classmethod(_guarded(method.__func__)))
    if "encode" in made.__dict__:
        made.encode = _encoding(made.encode)


@contextmanager
def blaming(kind: Any, form: str) -> Iterator[None]:
    """Tell what is raised inside as an error of an aggregation, in one of its forms."""
    what = f"aggregation {kind.name!r} failed"
    try:
        yield
    except Exception as problem:
        if isinstance(problem, InputError) and problem.what == what:
            raise  # of a form that calls another
        of = kind if isinstance(kind, type) else type(kind)
        raise InputError(
            what,
            got=said_by(problem),
            where=f"{form} of {of.__module__}.{of.__qualname__}",
            hint="It is not of skewless: mend it where it comes from.",
        ) from problem


def fitted(kind: Any, dtype: DType, value: Any) -> Any:
    """Return a value in the canonical form of a type.

    Raises:
        InputError: it is none of this type.
    """
    with blaming(kind, "the value"):
        return dtype.coerce(value.tolist() if hasattr(value, "tolist") else value)


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(kind: Any, *arguments: Any, **named: Any) -> Any:
        with blaming(kind, method.__name__):
            return method(kind, *arguments, **named)

    return call


def _encoding(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``encode`` that gives arrays as the kernels take them, which look at no lengths."""

    @functools.wraps(method)
    def encode(kind: Any, values: Any) -> Any:
        import numpy as np

        with blaming(kind, "encode"):
            found = np.ascontiguousarray(method(kind, values))
            if found.shape != values.shape or found.dtype not in (np.float64, np.int64):
                got = f"{found.dtype} of shape {found.shape}"
                raise TypeError(f"it gave {got}, not float64 or int64 of shape {values.shape}")
            return found

    return encode
