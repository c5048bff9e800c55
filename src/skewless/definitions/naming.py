"""Names of definitions: what may be one, and the error when it may not."""

from __future__ import annotations

import keyword
import re

from skewless.errors import DefinitionError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


def checked_name(name: object, kind: str) -> str:
    """Return ``name``, or raise `DefinitionError` when it cannot name a ``kind``."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise DefinitionError(
            f"not a name for a {kind}",
            got=repr(name),
            expected="a letter, then letters, digits and underscores, at most 128, no keyword",
        )
    return name


def checked_text(text: object, what: str, where: str) -> str:
    """Return ``text``, or raise `DefinitionError` when it is none."""
    if not isinstance(text, str):
        raise DefinitionError(
            f"{what} of {where} is no text", got=f"{text!r:.60} ({type(text).__name__})"
        )
    return text
