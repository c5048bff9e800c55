"""Signed checkpoints: where every chain of a ledger ended, kept where its writers cannot write.

    place = Checkpoints("fraud", folder=Path("/mnt/elsewhere"), key=Path("ledger.pem"))
    made = place.write(heads, at=clock.now())
    found, problems = place.read(public_key=made.signer)

A chain of seals cannot show that somebody who may write to the ledger and to the registry put both
back to an older state, or wrote all of it anew. A checkpoint can: it names the newest seal of each
chain, is signed (Ed25519), and lies in a second place. Checkpoints follow each other by the hash of
the one before::

    {"checkpoint":1,"project":"fraud","at":...,"heads":{"db1":{"seal":"5d41...","n":20,"file":1}},
     "prev":"000...","signer":"ab12...","signature":"..."}
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from skewless.clock import iso
from skewless.config import Config
from skewless.errors import ConfigError, InputError, MissingDependency, StoreError
from skewless.ledger.chain import Head
from skewless.ledger.lines import GENESIS
from skewless.ledger.verify import Damage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT = 1
NAME = "checkpoints.jsonl"
CHAIN = "checkpoints"
"""What problems of the file are said to be of."""
_SIGNATURE_KEY = b',"signature":"'


@dataclass(frozen=True)
class Checkpoint:
    """Where the chains of a ledger ended at a moment.

    Attributes:
        checkpoint: the format.
        project: whose ledger it is.
        at: the moment, UTC microseconds.
        heads: chain to its newest seal.
        prev: hash of the line before.
        signer: the public key, hexadecimal.
        signature: of everything before it in its line.
    """

    checkpoint: int
    project: str
    at: int
    heads: dict[str, Head]
    prev: str
    signer: str
    signature: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the checkpoint as plain data, its time in ISO 8601."""
        return {**msgspec.to_builtins(self), "at": iso(self.at)}


def make_key(file: Path) -> str:
    """Make a key to sign with, readable for this user alone, and return its public half.

    Raises:
        StoreError: the file is there already, or cannot be written.
        MissingDependency: ``cryptography`` is not installed.
    """
    ed25519, serialization = _cryptography()
    made: Ed25519PrivateKey = ed25519.Ed25519PrivateKey.generate()
    text = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as problem:
        got = problem.strerror
        raise StoreError("the key cannot be written", got=got, where=str(file)) from None
    with os.fdopen(opened, "wb") as written:
        written.write(text)
    return _public(made)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a project, and who signs them: ``[ledger]`` of the settings.

    Attributes:
        project: whose ledger it is.
        folder: the second place; None: there is none.
        key: the file of the private key; None: nobody signs here.
        public_key: who has to have signed, hexadecimal; empty: it has to be said.
    """

    project: str
    folder: Path | None = None
    key: Path | None = None
    public_key: str = ""

    @classmethod
    def of(cls, config: Config, within: str = "") -> Self:
        """Return those that the settings name, or those ``within`` a folder of their place."""
        given = config.ledger.options
        folder, key = (given.get(name) for name in ("checkpoints", "signing_key"))
        return cls(
            config.project,
            None if folder is None else Path(folder) / within,
            None if key is None else Path(key),
            str(given.get("public_key", "")),
        )

    @property
    def are_made(self) -> bool:
        """Whether there is all that it takes to make one."""
        return self.folder is not None and self.key is not None

    def write(self, heads: Mapping[str, Head], *, at: int) -> Checkpoint:
        """Append a checkpoint, on disk when it returns.

        Args:
            heads: chain to its newest seal.
            at: the moment, UTC microseconds.

        Raises:
            ConfigError: there is no second place, or no key.
            StoreError: the folder cannot be written.
        """
        folder, private = self._folder(), _read_key(self.key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            opened = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX)
                prev, whole = _last_of(folder / NAME)
                about = Checkpoint(FORMAT, self.project, at, dict(heads), prev, _public(private))
                fields = msgspec.to_builtins(about)
                del fields["signature"]
                said = msgspec.json.encode(fields)[:-1]
                signature = private.sign(said).hex()
                line = said + _SIGNATURE_KEY + signature.encode() + b'"}\n'
                os.write(opened, line if whole else b"\n" + line)
                os.fsync(opened)
            finally:
                os.close(opened)
        except OSError as problem:
            raise StoreError(
                "the checkpoint of the ledger cannot be written",
                got=problem.strerror or str(problem),
                where=str(folder),
            ) from None
        return replace(about, signature=signature)

    def read(self, public_key: str = "") -> tuple[list[Checkpoint], list[Damage]]:
        """Return the checkpoints that are signed as they have to be, and what is wrong with others.

        Args:
            public_key: who has to have signed; empty: as the settings say.

        Raises:
            ConfigError: there is no second place, or no key is named.
            InputError: there are no checkpoints, or the key is none.
        """
        file, signer = self._folder() / NAME, public_key or self.public_key
        if not signer:
            raise ConfigError(
                "whose signature counts has to be said",
                hint="public_key in [ledger], or --public-key; skewless ledger key prints it.",
            )
        if not file.exists() or not file.stat().st_size:
            raise InputError(
                "there is no checkpoint of the ledger",
                got=str(file),
                hint="Make one: skewless ledger checkpoint, or let skewless tend do it.",
            )
        verifier = _verifier(signer)
        found: list[Checkpoint] = []
        problems: list[Damage] = []
        prev = GENESIS
        for number, line in enumerate(file.read_bytes().splitlines(keepends=True), 1):
            one = _parsed(line)
            what = self._fault(one, line, prev, verifier)
            if what:
                problems.append(Damage(CHAIN, NAME, number, number, what))
            elif one is not None:
                found.append(one)
            prev = hashlib.sha256(line).hexdigest()
        return found, problems

    def _fault(self, one: Checkpoint | None, line: bytes, prev: str, verifier: Any) -> str:
        if one is None:
            return "this line is no checkpoint"
        if not _is_signed(verifier, line):
            return f"this checkpoint is signed by somebody else: {one.signer[:16]}"
        if one.prev != prev:
            return "the checkpoint before this one is missing, or another"
        return "" if one.project == self.project else f"it is of project {one.project!r}"

    def _folder(self) -> Path:
        if self.folder is None:
            raise ConfigError(
                "the ledger has no second place for checkpoints",
                hint='Name a folder: checkpoints = "/mnt/elsewhere" in [ledger].',
            )
        return self.folder


def said_of(found: list[Checkpoint]) -> str:
    """Return how many checkpoints there are, and of when the newest is."""
    if not found:
        return "no checkpoint can be relied on"
    many = "1 checkpoint" if len(found) == 1 else f"{len(found):,} checkpoints"
    return f"{many} hold, the newest of {iso(found[-1].at)}"


def _parsed(line: bytes) -> Checkpoint | None:
    try:
        return msgspec.json.decode(line, type=Checkpoint)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_signed(verifier: Any, line: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    said, _, rest = line.rpartition(_SIGNATURE_KEY)
    with contextlib.suppress(ValueError, InvalidSignature):
        verifier.verify(bytes.fromhex(rest.removesuffix(b'"}\n').decode("latin-1")), said)
        return True
    return False


def _last_of(file: Path) -> tuple[str, bool]:
    """Return the hash of the last line, and whether it is whole: a kill may have cut it off."""
    lines = file.read_bytes().splitlines(keepends=True)
    if not lines:
        return GENESIS, True
    whole = lines[-1].endswith(b"\n")
    last = lines[-1] if whole else lines[-1] + b"\n"
    return hashlib.sha256(last).hexdigest(), whole


def _verifier(public_key: str) -> Any:
    ed25519, _ = _cryptography()
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except ValueError:
        raise InputError(
            "not a public key", got=public_key, expected="64 hexadecimal digits"
        ) from None


def _read_key(file: Path | None) -> Ed25519PrivateKey:
    if file is None:
        raise ConfigError(
            "there is no key to sign checkpoints with",
            hint="Make one: skewless ledger key FILE, and name it: signing_key in [ledger].",
        )
    ed25519, serialization = _cryptography()
    try:
        found = serialization.load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as problem:
        found, got = None, str(problem)
    else:
        got = type(found).__name__
    if isinstance(found, ed25519.Ed25519PrivateKey):
        key: Ed25519PrivateKey = found
        return key
    raise ConfigError(
        "the key that signs checkpoints cannot be read",
        got=got,
        expected="an Ed25519 private key as PEM, without a password",
        where=str(file),
        hint="Make one: skewless ledger key FILE",
    )


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError:
        raise MissingDependency.of("cryptography", "ledger", needed_for="signing") from None
    return ed25519, serialization
