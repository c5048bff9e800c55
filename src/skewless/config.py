"""``skewless.toml``: where things are kept. Without one, all is embedded in the repo's folder.

    project = "fab"                        # whose things these are; by default "default"
    rewind = "5m"                          # how far back an online read may ask
    definitions = ["features.py"]          # default: every *.py of the folder that is no test

    [online]
    kind = "redis"
    url = "redis://:${REDIS_PASSWORD}@cache:6379/0"

    [stores.next]                          # other online stores, by names of your own
    kind = "postgres"
    dsn = "postgresql://db/ml"

    [offline]
    folder = "history"                     # default: .skewless/offline
    log = { kind = "delta", path = "s3://lake/log" }       # default: Parquet in the folder

    [journal]                              # for online stores without transactions: shared by
    kind = "postgres"                      # several machines; default: embedded, of this one
    dsn = "postgresql://db/ml"

    [registry]
    kind = "sqlite"
    path = "registry.db"                   # default: .skewless/registry.db

    [ledger]
    folder = "ledger"                      # default: .skewless/ledger
    [engine]                               # what computes training sets; default: this machine
    kind = "local"
    memory = 4_000_000_000                 # bytes that the rows of windows may take

    [lineage]                              # events of OpenLineage; without it none are sent
    kind = "http"                          # or "file", with a path
    url = "http://marquez:5000/api/v1/lineage"

    [lint]                                 # how definitions are to be named and described
    features = "[a-z][a-z0-9_]*"           # the whole of a name; also: views, sources
    owners = true                          # or a list of those there are
    descriptions = ["view", "feature"]     # or "source", "column", "entity", "service"
    freshness = true                       # views promise one
    enforce = true                         # apply refuses what does not keep to it

    [oidc]                                 # tokens that count at `skewless serve`; see serving.md
    issuer = "https://login.example.com"
    audience = "skewless"                  # also: jwks, claim = "groups", leeway = "60s"
    read = ["fraud-team"]                  # groups that may; also: write, admin

    [access]                               # the key of masks and of the audit; see access.md
    secret = "${ACCESS_SECRET}"            # default: made once, in .skewless/access.key

    [audit]                                # every access is put on record; see audit.md
    mode = "on"                            # or "strict": what is not on record is not read

    [alerts]                               # who is told of what is wrong; see operations.md
    every = "10m"                          # what comes and goes is told at most so often
    receivers.oncall = { kind = "pagerduty", key = "${PAGERDUTY_KEY}", levels = ["page"] }

    [tend]                                 # how often what is due; see operations.md
    materialize = "15m"

    [prices]                               # a month's, for `skewless cost`; default: none
    online_gb = 0.25

    [filesystem.s3]                        # for tables on s3://; by Arrow's names
    endpoint_override = "https://minio:9000"
    secret_key = "${S3_SECRET}"

    [connections.warehouse]                # for tables that name it: connection="warehouse"
    uri = "postgresql://ml:${PGPASSWORD}@db/shop"

``[online]`` may also say ``store = "next"``, to use that one, and ``mirror = "next"``, to write to
it too while moving there.

Relative paths start at the repo's folder. ``${NAME}`` stands for an environment variable, or for
what is in the file that ``NAME_FILE`` names; what it holds is used and never shown.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from skewless.durations import format_duration, parse_duration
from skewless.errors import ConfigError, DefinitionError, UnknownName
from skewless.variables import expand, without_secrets

FILE_NAME = "skewless.toml"
EMBEDDED = ".skewless"
DEFAULT_REWIND = parse_duration("5m")
DEFAULT_PROJECT = "default"
READ_WRITE, READ_ONLY = "read-write", "read-only"
LONGEST_PROJECT = 60

_KEYS: dict[str, tuple[str, ...] | None] = {
    # None: what keys there may be is for the store to say.
    "online": None,
    "offline": ("folder", "log"),
    "registry": None,
    "journal": None,
    "ledger": ("folder", "checkpoints", "signing_key", "public_key"),
    "lineage": ("kind", "url", "key", "path"),
    "lint": ("features", "views", "sources", "owners", "descriptions", "freshness", "enforce"),
    "oidc": ("issuer", "audience", "jwks", "claim", "read", "write", "admin", "leeway"),
    "access": ("secret",),
    "audit": ("mode",),
    "alerts": ("allow", "every", "remind", "receivers"),
    "tend": (
        *("materialize", "backfill", "compact", "check", "profile", "drift", "freshness", "alerts"),
        *("checkpoint", "views"),
    ),
    "prices": ("currency", "online_gb", "million_reads", "cpu_hour", "million_rows"),
    "engine": None,
}
_PATH_KEYS = ("path", "folder", "checkpoints", "signing_key")
_ELSEWHERE = {
    "offline": 'An event log lies there as a table: log = { kind = "delta", path = "s3://..." }.',
    "ledger": "Copy sealed chains there from the folder.",
}
_EMBEDDED_KINDS = ("lmdb", "sqlite")
_DEFAULT_KINDS = {"online": "lmdb", "registry": "sqlite", "engine": "local"}
_EMBEDDED_PATHS = {
    ("online", "lmdb"): "online",
    ("online", "sqlite"): "online.sqlite",
    ("offline", ""): "offline",
    ("registry", "sqlite"): "registry.db",
    ("ledger", ""): "ledger",
}


class Section(Mapping[str, Any]):
    """The options of one section, as a read-only mapping that never shows a secret.

    >>> Section({"kind": "redis", "password": "hush"})
    Section(kind='redis', password='***')
    """

    def __init__(self, values: Mapping[str, Any], shown: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values)
        self._shown = dict(values if shown is None else shown)

    @property
    def kind(self) -> str:
        """Which implementation the section asks for."""
        return str(self._values["kind"])

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the kind: the arguments of the implementation."""
        return {key: value for key, value in self._values.items() if key != "kind"}

    def to_dict(self) -> dict[str, Any]:
        """Return the options as they may be shown."""
        return {key: without_secrets(key, value) for key, value in self._shown.items()}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Section({', '.join(f'{k}={v!r}' for k, v in self.to_dict().items())})"


@dataclass(frozen=True)
class TableSettings:
    """How tables of sources are reached: ``[filesystem]`` and ``[connections]``.

    Variables in them are looked up when a table is read: a server that reads none needs no
    password of a warehouse.

    Attributes:
        filesystem: scheme (``s3``, ``gs``, ``abfs``) to arguments of Arrow's file system.
        connections: name to options of a database or catalog.
        where: how errors name the file.
    """

    filesystem: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    where: str = field(default=FILE_NAME, compare=False)

    def of_filesystem(self, scheme: str) -> dict[str, Any]:
        """Return the settings of a file system, none if there are none.

        Raises:
            ConfigError: a variable is not set.
        """
        found = self.filesystem.get(scheme, {})
        return dict(expand(found, f"[filesystem.{scheme}] of {self.where}"))

    def connection(self, name: str) -> dict[str, Any]:
        """Return the options of a connection.

        Raises:
            ConfigError: there is none of that name, or a variable is not set.
        """
        if name not in self.connections:
            problem = UnknownName.of("connection", name, self.connections, where=self.where)
            raise ConfigError(
                problem.what, hint=f"{problem.hint} Add a section [connections.{name}]."
            )
        return dict(expand(self.connections[name], f"[connections.{name}] of {self.where}"))


@dataclass(frozen=True)
class Config:
    """The settings of one repo.

    Attributes:
        folder: of the repo, absolute.
        project: a wall: on a registry, online store or folder that several projects share, each
            sees and changes its own alone.
        online: ``kind`` and options of the online store; paths are absolute.
        offline: ``folder`` of the offline store, absolute.
        registry: ``kind`` and options of the registry; paths are absolute.
        ledger: ``folder`` of the ledger, absolute.
        lineage: where events of OpenLineage are sent to; None: nowhere.
        access: the secret of keyed hashes; None: there is a file with one.
        audit: how accesses are put on record; None: they are not.
        alerts: who is told of what is wrong; None: nobody.
        prices: what a month costs.
        tend: how often the parts of `skewless.tend` are due, where not by default.
        read_only: whether nothing is written, whatever rights there are: ``mode = "read-only"``.
        rewind: how far in the past an online read may ask, microseconds.
        definitions: Python files (or patterns) of the folder; empty: all that are no tests.
        tables: how tables of sources are reached.
        file: the file that was read, or None.
        written: what it says, as it stands there.
        stores: other online stores, by name.
        mirror: name of the one that is written to as well as the online store; empty: none.
        journal: ``kind`` and options of the store that has event logs, row ids and records where
            the online store cannot; None: an embedded one.
        engine: ``kind`` and options of what computes training sets.
        lint: rules of names and words (`skewless.checks.lint.LintRules`); None: there are none.
        oidc: whose tokens servers take (`skewless.serving.operate.issuer.OidcSettings`); None: no
            tokens.
    """

    folder: Path
    project: str
    online: Section
    offline: Section
    registry: Section
    ledger: Section
    read_only: bool = False
    rewind: int = DEFAULT_REWIND
    definitions: tuple[str, ...] = ()
    tables: TableSettings = TableSettings()
    file: Path | None = field(default=None, compare=False)
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    stores: Mapping[str, Section] = field(default_factory=dict)
    mirror: str = ""
    journal: Section | None = None
    lineage: Section | None = None
    engine: Section = field(default_factory=lambda: Section({"kind": "local"}))
    lint: Section | None = None
    oidc: Section | None = None
    access: Section | None = None
    audit: Section | None = None
    alerts: Section | None = None
    prices: Section = field(default_factory=lambda: Section({}))
    tend: Section = field(default_factory=lambda: Section({}))

    @classmethod
    def read(cls, path: str | Path = ".") -> Config:
        """Read the settings of a repo.

        Args:
            path: the repo's folder, or a TOML file in it. A folder without ``skewless.toml`` has
                everything embedded below ``.skewless/``.

        Raises:
            ConfigError: there is no such folder, or the file is wrong; the error says where.
        """
        given = Path(path).expanduser().absolute()
        file = given if given.suffix == ".toml" else given / FILE_NAME
        if given.is_dir() and not file.exists():
            return cls.of(given, {})
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as problem:
            raise ConfigError("not TOML", got=str(problem), where=str(file)) from None
        except UnicodeDecodeError as problem:
            raise ConfigError("not UTF-8", got=str(problem), where=str(file)) from None
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                "there is no such repo",
                got=str(path),
                expected=f"a folder, perhaps with a {FILE_NAME}",
                hint="Make one with: skewless init",
            ) from None
        except OSError as problem:
            raise ConfigError("cannot be read", got=str(problem), where=str(file)) from None
        return cls.of(file.parent, data, file=file)

    @classmethod
    def of(cls, folder: Path, data: Mapping[str, Any], *, file: Path | None = None) -> Config:
        """Return the settings that plain data (the content of a file) asks for.

        Raises:
            ConfigError: an unknown key, a value of another type, or an unset variable.
        """
        where = str(file or folder)
        more = ("filesystem", "connections", "stores")
        _check_keys(data, ("project", "mode", "rewind", "definitions", *more, *_KEYS), where)
        stores = _stores(data, folder, where)
        online, mirror = _online(data, stores, folder, where)
        definitions = data.get("definitions", [])
        if not isinstance(definitions, list) or not all(isinstance(d, str) for d in definitions):
            raise _wrong("definitions", definitions, "a list of file names", where)
        return cls(
            folder=folder,
            project=_project(data, where),
            online=online,
            offline=_section(data, "offline", folder, where),
            registry=_section(data, "registry", folder, where),
            ledger=_section(data, "ledger", folder, where),
            read_only=_mode(data, where) == READ_ONLY,
            rewind=_duration(data, "rewind", DEFAULT_REWIND, where),
            definitions=tuple(definitions),
            tables=TableSettings(
                _sections(data, "filesystem", where), _sections(data, "connections", where), where
            ),
            file=file,
            written=data,
            stores=stores,
            mirror=mirror,
            journal=_journal(data, folder, where),
            lineage=_section(data, "lineage", folder, where) if "lineage" in data else None,
            engine=_section(data, "engine", folder, where),
            lint=_section(data, "lint", folder, where) if "lint" in data else None,
            oidc=_section(data, "oidc", folder, where) if "oidc" in data else None,
            access=_section(data, "access", folder, where) if "access" in data else None,
            audit=_section(data, "audit", folder, where) if "audit" in data else None,
            alerts=_section(data, "alerts", folder, where) if "alerts" in data else None,
            prices=_section(data, "prices", folder, where),
            tend=_section(data, "tend", folder, where),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data, without secrets."""
        return {
            "folder": str(self.folder),
            "project": self.project,
            "online": self.online.to_dict(),
            "offline": self.offline.to_dict(),
            "registry": self.registry.to_dict(),
            "ledger": self.ledger.to_dict(),
            "mode": READ_ONLY if self.read_only else READ_WRITE,
            "rewind": format_duration(self.rewind),
            "definitions": list(self.definitions),
            "filesystem": without_secrets("filesystem", self.tables.filesystem),
            "connections": without_secrets("connections", self.tables.connections),
            "stores": {name: section.to_dict() for name, section in self.stores.items()},
            "mirror": self.mirror,
            "journal": None if self.journal is None else self.journal.to_dict(),
            "lineage": None if self.lineage is None else self.lineage.to_dict(),
            "engine": self.engine.to_dict(),
            "lint": None if self.lint is None else self.lint.to_dict(),
            "oidc": None if self.oidc is None else self.oidc.to_dict(),
            "access": None if self.access is None else self.access.to_dict(),
            "audit": None if self.audit is None else self.audit.to_dict(),
            "alerts": None if self.alerts is None else self.alerts.to_dict(),
            "prices": self.prices.to_dict(),
            "tend": self.tend.to_dict(),
        }


def read_toml(path: Path, absent: ConfigError) -> dict[str, Any]:
    """Return what a TOML file says.

    Args:
        path: of the file.
        absent: raised where there is none.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise absent from None
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as problem:
        raise ConfigError("cannot be read", got=str(problem), where=str(path)) from None


def _stores(data: Mapping[str, Any], folder: Path, where: str) -> dict[str, Section]:
    """Return the sections ``[stores.NAME]``."""
    given = data.get("stores", {})
    if not isinstance(given, Mapping):
        raise _wrong("stores", given, "a section for each store: [stores.NAME]", where)
    found: dict[str, Section] = {}
    for name in given:
        place = f"[stores.{name}] of {where}"
        if not isinstance(given[name], Mapping) or "kind" not in given[name]:
            raise ConfigError("a store without a kind", where=place, hint='Say kind = "redis".')
        section = _section(given, name, folder, where)
        if "path" not in section and section.kind in _EMBEDDED_KINDS:
            raise ConfigError("an embedded store without a path", where=place)
        for other, known in found.items():
            if dict(known) == dict(section):
                raise ConfigError("two names for one store", got=f"{other}, {name}", where=where)
        found[name] = section
    return found


def _online(
    data: Mapping[str, Any], stores: Mapping[str, Section], folder: Path, where: str
) -> tuple[Section, str]:
    """Return the section of the online store, and the name of its mirror."""
    given = data.get("online", {})
    if not isinstance(given, Mapping):
        raise _wrong("online", given, "a section: [online]", where)
    place = f"[online] of {where}"
    names = {}
    for key in ("store", "mirror"):
        if key in given:
            name = given[key]
            if not isinstance(name, str) or name not in stores:
                known = str(UnknownName.of("store", str(name), stores, where="[stores]"))
                raise ConfigError(known, where=f"{key!r} in {place}")
            names[key] = name
    rest = {key: value for key, value in given.items() if key not in names}
    if "store" in names and rest:
        raise ConfigError(
            "[online] names a store, so it takes no other options",
            got=", ".join(rest),
            where=place,
            hint=f"They belong into [stores.{names['store']}].",
        )
    if "store" in names:
        online = stores[names["store"]]
    else:
        online = _section({"online": rest}, "online", folder, where)
    mirror = names.get("mirror", "")
    if mirror and dict(stores[mirror]) == dict(online):
        raise ConfigError("the mirror is the online store itself", got=mirror, where=place)
    return online, mirror


def _journal(data: Mapping[str, Any], folder: Path, where: str) -> Section | None:
    """Return the section of the journal, None without one."""
    if "journal" not in data:
        return None
    place = f"[journal] of {where}"
    section = _section(data, "journal", folder, where)
    if "kind" not in section:
        raise ConfigError("a journal without a kind", where=place, hint='Say kind = "postgres".')
    if not {"folder", "log"} & set(data.get("offline", {})):
        raise ConfigError(
            "a journal that is shared needs a history that is shared",
            where=place,
            hint="Set folder in [offline] to one that all machines have, or log to a table of a"
            " lakehouse.",
        )
    return section


def _section(data: Mapping[str, Any], name: str, folder: Path, where: str) -> Section:
    """Return a section; one of an embedded kind has a default path."""
    default = {"kind": _DEFAULT_KINDS[name]} if name in _DEFAULT_KINDS else {}
    place = f"[{name}] of {where}"
    given = data.get(name, {})
    if not isinstance(given, Mapping):
        raise _wrong(name, given, f"a section: [{name}]", where)
    if (keys := _KEYS.get(name)) is not None:
        _check_keys(given, keys, place)
    values = default | {key: expand(value, f"{key!r} in {place}") for key, value in given.items()}
    shown = default | dict(given)
    kind = values.get("kind", "")
    if not isinstance(kind, str):
        raise _wrong("kind", kind, "a name in quotes", place)
    path_key = "folder" if name in ("offline", "ledger") else "path"
    if (name, kind) in _EMBEDDED_PATHS and path_key not in values:
        path = str(folder / EMBEDDED / _EMBEDDED_PATHS[name, kind])
        values[path_key] = shown[path_key] = path
    for key in _PATH_KEYS:
        if key in values:
            if not isinstance(values[key], str):
                raise _wrong(key, values[key], "a path in quotes", place)
            if "://" in values[key] and (kind in _EMBEDDED_KINDS or name in _ELSEWHERE):
                raise _no_path(key, without_secrets(key, shown[key]), name, place)
            values[key] = absolute(values[key], folder)
    return Section(values, shown)


def _mode(data: Mapping[str, Any], where: str) -> str:
    if (mode := _text(data, "mode", READ_WRITE, where)) in (READ_WRITE, READ_ONLY):
        return mode
    raise _wrong("mode", mode, f'"{READ_WRITE}" or "{READ_ONLY}"', where)


def _no_path(key: str, given: Any, name: str, place: str) -> ConfigError:
    return ConfigError(
        f"{key} is an address, and has to be a path of this machine",
        got=given,
        where=place,
        hint=_ELSEWHERE.get(name, 'An address is for another kind, such as kind = "postgres".'),
    )


def _sections(data: Mapping[str, Any], name: str, where: str) -> dict[str, Mapping[str, Any]]:
    """Return sections such as ``[filesystem.s3]``, variables not looked up yet."""
    given = data.get(name, {})
    if not isinstance(given, Mapping):
        raise _wrong(name, given, f"sections: [{name}.something]", where)
    for key, value in given.items():
        if not isinstance(value, Mapping):
            raise _wrong(f"{name}.{key}", value, f"a section: [{name}.{key}]", where)
    if name == "filesystem":
        _check_keys(given, ("s3", "gs", "abfs"), f"[filesystem] of {where}")
    return dict(given)


def absolute(path: str, folder: Path) -> str:
    """Return a path from the folder on; addresses such as ``s3://bucket`` stay what they are."""
    return path if "://" in path else str(folder / Path(path).expanduser())


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone; a umask counts.

    Raises:
        OSError: it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # somebody else has made it meanwhile
            each.mkdir(mode=0o700)
    folder.mkdir(exist_ok=True)  # raises where it is no folder


def make_private_file(path: Path) -> None:
    """Make an empty file for this user alone, unless it is there."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _check_keys(data: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in known:
            raise ConfigError(str(UnknownName.of("key", key, known, where=where)))


def _text(data: Mapping[str, Any], key: str, default: str, where: str) -> str:
    value = expand(data.get(key, default), f"{key!r} of {where}")
    if not isinstance(value, str) or not value:
        raise _wrong(key, value, "a text in quotes", where)
    return value


def _project(data: Mapping[str, Any], where: str) -> str:
    """Return the name of the project: the same wherever the folder lies."""
    name = _text(data, "project", DEFAULT_PROJECT, where)
    if len(quote(name, safe="")) > LONGEST_PROJECT:
        raise _wrong("project", name, f"at most {LONGEST_PROJECT} letters and digits", where)
    return name


def _duration(data: Mapping[str, Any], key: str, default: int, where: str) -> int:
    if key not in data:
        return default
    try:
        return parse_duration(data[key], what=key)
    except DefinitionError as problem:
        raise ConfigError(
            f"{key!r} is no duration", got=problem.got, expected=problem.expected, where=where
        ) from None


def _wrong(key: str, value: object, expected: str, where: str) -> ConfigError:
    got = f"{value!r} ({type(value).__name__})"
    return ConfigError(f"{key!r} has a wrong value", got=got, expected=expected, where=where)
