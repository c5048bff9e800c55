"""The keyed hash of a project: names values of people to whoever has the key, and to nobody else.

>>> keyed = KeyedHash(b"k" * 32)
>>> keyed.of("mask", b"Ada"), keyed.of("mask", b"Ada") == keyed.of("audit", b"Ada")
('e5c82f1e036f3753d25676191146dfcb', False)

The key is ``[access] secret`` of the settings; without one it is made once, in the repo's
``.skewless/access.key``. Servers and machines of one registry need one and the same.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from skewless.config import EMBEDDED, Config, make_private
from skewless.errors import ConfigError, StoreError

FILE = "access.key"
_LEAST = 32
"""Characters that a secret has at least."""


class KeyedHash:
    """BLAKE2b of 128 bits with a key, apart for each purpose.

    Args:
        key: the secret.

    Attributes:
        id: tells keys apart, and nothing of them.
    """

    def __init__(self, key: bytes) -> None:
        self._key = blake2b(key, digest_size=32).digest()
        self._begun: dict[str, blake2b] = {}
        self.id = self.of("key", b"")[:8]

    def of(self, purpose: str, value: bytes) -> str:
        """Return the hash of a value for a purpose, 32 hexadecimal digits."""
        begun = self._begun.get(purpose)
        if begun is None:
            begun = blake2b(digest_size=16, key=self._key, person=purpose.encode())
            self._begun[purpose] = begun
        made = begun.copy()
        made.update(value)
        return made.hexdigest()

    @classmethod
    def read(cls, config: Config) -> KeyedHash:
        """Return that of a repo; its key is made if there is none.

        Raises:
            ConfigError: the secret of the settings is too short.
            StoreError: there is no key, and none can be made.
        """
        where = str(config.file or config.folder)
        if config.access is not None:
            secret = str(config.access.options.get("secret", ""))
            if len(secret) < _LEAST:
                raise ConfigError(
                    "the secret of [access] is too short",
                    got=f"{len(secret)} characters",
                    expected=f"{_LEAST} or more",
                    where=where,
                    hint='python -c "import secrets; print(secrets.token_hex(32))"',
                )
            return cls(secret.encode())
        return cls(_made(config.folder / EMBEDDED / FILE))


def _made(file: Path) -> bytes:
    """Return the key in a file, made whole or not at all where there is none."""
    try:
        with suppress(FileNotFoundError):
            return _whole(file)
        make_private(file.parent)
        own = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
        opened = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as written:
            written.write(secrets.token_hex(_LEAST).encode())
            written.flush()
            os.fsync(written.fileno())
        try:
            with suppress(FileExistsError):  # another process was faster: its key counts
                os.link(own, file)
        finally:
            own.unlink()
        return _whole(file)
    except OSError as problem:
        raise StoreError(
            "the key of hashes cannot be read or made",
            got=problem.strerror or str(problem),
            where=str(file),
            hint="Name one: [access] secret in skewless.toml.",
        ) from None


def _whole(file: Path) -> bytes:
    found = file.read_bytes().strip()
    if len(found) < _LEAST:
        raise StoreError("the key of hashes is damaged", got=f"{len(found)} bytes", where=str(file))
    return found
