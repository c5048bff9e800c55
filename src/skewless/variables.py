"""``${NAME}`` in settings: what the environment, or a file that it names, has for it.

>>> import os
>>> os.environ["CACHE_PASSWORD"] = "p@ss"
>>> expand("redis://:${CACHE_PASSWORD}@cache:6379/0", "[online]")
'redis://:p%40ss@cache:6379/0'
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from skewless.errors import ConfigError

VARIABLE = re.compile(r"\$\{([^}]*)\}")
_CREDENTIALS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://(?P<credentials>[^/?#]*:[^/?#]*)@")
_BEYOND_HOST = re.compile(r"[/?#]")
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?|secret|token|credential|(api|access|account|private)_?key", re.I
)
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*@")
_PASSWORD_IN_DSN = re.compile(r"\bpassword\s*=\s*('[^']*'|\S+)", re.I)


def expand(value: Any, where: str) -> Any:
    """Return ``value`` with every ``${NAME}`` in its texts replaced by the environment's.

    Where ``NAME`` is not set, ``NAME_FILE`` may name a file that holds the value: a secret that a
    container is given. A line end at its end does not count.

    Between ``://`` and ``@`` of an address stand a user and a password, and what comes there from
    the environment is a name or a password as it is: characters that mean something in addresses
    are encoded. (A variable that holds both, ``redis://${USER_AND_PASSWORD}@cache``, is part of an
    address already.)

    Raises:
        ConfigError: a variable is not set, or its file cannot be read.
    """
    if isinstance(value, Mapping):
        return {key: expand(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [expand(inner, where) for inner in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = _variable(match[1], where)
        return quote(found, safe="") if secret.start <= match.start() < secret.stop else found

    secret = _credentials(value)
    expanded = VARIABLE.sub(replace, value)
    if _is_ambiguous(expanded):
        raise ConfigError(
            "a password in an address with characters that mean something there",
            expected="@ / # ? : and % written as %40 %2F %23 %3F %3A %25",
            where=where,
            hint="Or leave it to a variable, which is encoded: scheme://user:${PASSWORD}@host",
        )
    return expanded


def _variable(name: str, where: str) -> str:
    """Return what the environment has for a name, itself or in a file."""
    if name in os.environ:
        return os.environ[name]
    file = os.environ.get(f"{name}_FILE")
    if not file:
        raise ConfigError(
            f"the environment variable {name} is not set",
            where=where,
            hint=f"Set it before the start: export {name}=..., or {name}_FILE=/a/file/that/has/it",
        )
    try:
        return Path(file).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as problem:
        raise ConfigError(
            f"the file that {name}_FILE names cannot be read", got=str(problem), where=where
        ) from None


def _is_ambiguous(address: str) -> bool:
    """Return whether a part of the password of an address would be taken for its host or path.

    >>> _is_ambiguous("redis://:p@ss/w@cache:6379"), _is_ambiguous("redis://:p%40ss@cache:6379/0")
    (True, False)
    """
    _, scheme, rest = address.partition("://")
    if not scheme:
        return False
    head = _BEYOND_HOST.split(rest, maxsplit=1)[0]
    credentials, at, _ = head.rpartition("@")
    if not at:  # a colon without a port behind it: what follows may be the rest of a password
        name, colon, port = head.rpartition(":")
        return bool(colon) and not port.isdigit() and "@" in rest and not name.startswith("[")
    return (
        "@" in credentials
        or "@" in rest[len(head) :].partition("?")[0]
        or credentials.count(":") > 1
    )


def _credentials(address: str) -> range:
    """Return where in an address user and password stand, if both do."""
    found = _CREDENTIALS.match(address)
    return range(0) if found is None else range(*found.span("credentials"))


def without_secrets(key: str, value: Any) -> Any:
    """Return the value of an option as it may be shown."""
    if isinstance(value, Mapping):
        return {inner: without_secrets(inner, v) for inner, v in value.items()}
    if isinstance(value, list):
        return [without_secrets(key, item) for item in value]
    if _SECRET_KEY.search(key):
        return value if isinstance(value, str) and VARIABLE.fullmatch(value) else "***"
    if isinstance(value, str):
        value = _PASSWORD_IN_URL.sub(r"\1:***@", value)
        return _PASSWORD_IN_DSN.sub("password=***", value)
    return value
