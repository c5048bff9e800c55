"""What messages of a topic carry: JSON, Avro or Protobuf, as rows; and what their keys say.

Values that name their schema in a Schema Registry, in their first bytes or in a header, are decoded
by confluent-kafka's own deserializers. Where the registry cannot be asked, messages wait; whatever
else a decoder raises about a message is the message's fault, and it is set aside with that reason.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from skewless.definitions.decoded_values import value_for
from skewless.errors import InputError, MissingDependency, StoreUnavailable
from skewless.streams.decoding import Decoded, JsonRows
from skewless.streams.envelopes import EnvelopeRows, Place, json_rows, value_at
from skewless.streams.records import Headers
from skewless.types import DType

FORMATS = ("json", "avro", "protobuf")
_REGISTRY = "schema.registry."
_MESSAGE = "protobuf.message"
_SCHEMA = "avro.schema"
_NO_SUCH_SCHEMA = (40401, 40402, 40403)
_BY_NUMBER, _BY_GUID = b"\0", b"\1"
_FRAMES = {_BY_NUMBER: 5, _BY_GUID: 17}
"""How many bytes say which schema of a registry a value has, by the first of them."""
_KEY_HEADER, _VALUE_HEADER = "__key_schema_id", "__value_schema_id"


class Payload(ABC):
    """Makes rows of what messages carry."""

    @abstractmethod
    def decode(
        self,
        values: Sequence[bytes],
        columns: Mapping[str, DType],
        headers: Sequence[Headers] | None = None,
    ) -> Decoded:
        """Return the rows of values, one each.

        Args:
            values: of the messages.
            columns: names and types of the columns asked for.
            headers: of the messages, where they have any.

        Raises:
            StoreUnavailable: a schema cannot be looked up.
        """


class JsonPayload(Payload):
    """A JSON object a message; bytes before it that name a schema of a registry are skipped.

    JSON begins with neither of these bytes, so there is nothing to mistake.
    """

    def __init__(self, paths: Mapping[str, Place] | None = None) -> None:
        self._paths = paths or {}
        self._rows: JsonRows | EnvelopeRows | None = None
        self._columns: dict[str, DType] = {}

    def decode(
        self,
        values: Sequence[bytes],
        columns: Mapping[str, DType],
        headers: Sequence[Headers] | None = None,
    ) -> Decoded:
        if self._rows is None or self._columns != columns:
            self._rows, self._columns = json_rows(columns, self._paths), dict(columns)
        return self._rows.decode([unframed(value) for value in values])


def unframed(value: bytes) -> bytes:
    """Return a value without the bytes before it that name a schema of a registry."""
    size = _FRAMES.get(value[:1])
    return value if size is None or len(value) <= size else value[size:]


class RecordPayload(Payload):
    """A record a message, of Avro or Protobuf.

    Args:
        decode_one: returns the fields of a message, or a value.
        paths: of the columns that do not lie at the top under their own name.
    """

    def __init__(
        self,
        decode_one: Callable[[bytes, Headers], Any],
        paths: Mapping[str, Place] | None = None,
    ) -> None:
        self._decode_one = decode_one
        self._paths = paths or {}

    def decode(
        self,
        values: Sequence[bytes],
        columns: Mapping[str, DType],
        headers: Sequence[Headers] | None = None,
    ) -> Decoded:
        paths = {name: self._paths.get(name, (name,)) for name in columns}
        rows: list[dict[str, Any]] = []
        taken: list[int] = []
        poison: list[tuple[int, str]] = []
        ignored = 0
        for number, value in enumerate(values):
            try:
                data = decoded(self._decode_one, value, headers[number] if headers else None)
                if not isinstance(data, Mapping):
                    raise ValueError("its schema is no record")
                row = {n: value_for(value_at(data, paths[n]), t) for n, t in columns.items()}
            except ValueError as problem:
                poison.append((number, str(problem)))
                continue
            rows.append(row)
            taken.append(number)
            ignored += not self._paths and not columns.keys() >= data.keys()
        return Decoded(rows, taken, poison, ignored)


def decoded(decode_one: Callable[[bytes, Headers], Any], value: bytes, headers: Headers) -> Any:
    """Return what a decoder makes of a value.

    Raises:
        StoreUnavailable: it needs the Schema Registry, which cannot be asked.
        ValueError: everything else, whatever the decoder raised: no message stops a stream.
    """
    try:
        return decode_one(value, headers)
    except Exception as problem:
        outage = _outage(problem)
        if outage is not None:
            raise StoreUnavailable(
                "the Schema Registry cannot be asked", got=str(outage)
            ) from problem
        if getattr(problem, "error_code", None) in _NO_SUCH_SCHEMA:
            raise ValueError(f"its schema is not in the Schema Registry: {problem}") from None
        raise ValueError(f"{type(problem).__name__}: {problem}") from None


def _outage(problem: BaseException | None) -> BaseException | None:
    """Return the failure of the registry that lies behind an error, None if there is none."""
    kinds = _registry_errors()
    while problem is not None:
        if isinstance(problem, kinds):
            forever = getattr(problem, "error_code", None) in _NO_SUCH_SCHEMA
            return None if forever else problem
        problem = problem.__cause__ or problem.__context__
    return None


def payload(format: str, topic: str, options: dict[str, Any], base: Path | None = None) -> Payload:
    """Return what decodes a topic; takes the options that are about it out of ``options``.

    Raises:
        InputError: an unknown format, or an option it needs is missing or wrong.
        MissingDependency: the libraries of the format are not installed.
    """
    return decoders(format, topic, options, base)[0]


def decoders(
    format: str,
    topic: str,
    options: dict[str, Any],
    base: Path | None = None,
    paths: Mapping[str, Place] | None = None,
) -> tuple[Payload, Keys]:
    """Return what decodes the values of a topic and what decodes its keys; see `payload`.

    ``paths`` are those of columns that do not lie at the top of a value under their own name.
    """
    registry = {
        key.removeprefix(_REGISTRY): options.pop(key)
        for key in list(options)
        if key.startswith(_REGISTRY)
    }
    message, schema = options.pop(_MESSAGE, None), options.pop(_SCHEMA, None)
    if format not in FORMATS:
        raise InputError(
            "messages of an unknown format", got=repr(format), expected=", ".join(FORMATS)
        )
    where = f"topic {topic}"
    keys = Keys(topic, registry)
    for name, given, only in ((_MESSAGE, message, "protobuf"), (_SCHEMA, schema, "avro")):
        if given is not None and format != only:
            raise InputError(f"the option {name!r} is for {only} messages", where=where)
    if format == "json":
        return JsonPayload(paths), keys
    if format == "avro" and schema is not None:
        if registry:
            raise InputError(
                f"both {_SCHEMA!r} and a Schema Registry", expected="one of them", where=where,
                hint=f"{_SCHEMA!r} is for messages that name no schema.",
            )  # fmt: skip
        return RecordPayload(_bare_avro(str(schema), base or Path(), where), paths), keys
    if format == "avro" and not registry.get("url"):
        raise InputError(
            f"avro messages need the option {_REGISTRY + 'url'!r} or {_SCHEMA!r}", where=where
        )
    if format == "protobuf" and not message:
        raise InputError(f"protobuf messages need the option {_MESSAGE!r}", where=where)
    return RecordPayload(_from_registry(format, topic, registry, str(message)), paths), keys


class Keys:
    """Decodes keys of messages.

    A key that names a schema of a registry, in its first bytes or in a header, is decoded by it;
    other keys stay the bytes they are. Nothing is asked of the registry before there is such a key.
    """

    def __init__(self, topic: str, registry: dict[str, Any]) -> None:
        self._topic = topic
        self._registry = registry
        self._decode_one: Callable[[bytes, Headers], Any] | None = None

    def decode(self, key: bytes | None, headers: Headers) -> Any:
        """Return what a key says: its bytes, a mapping, or one value.

        Raises:
            StoreUnavailable: its schema cannot be looked up.
            ValueError: it is none that can be read.
        """
        if key is None:
            return None
        in_header = any(name == _KEY_HEADER for name, _ in headers or ())
        size = _FRAMES.get(key[:1])
        if not in_header and (size is None or len(key) <= size):
            return key
        body = key if in_header else unframed(key)
        if body[:1] in (b"{", b"[", b'"') and _is_json(body):
            return body
        if not self._registry:
            raise ValueError(
                "its key names a schema of a Schema Registry, and the stream has no option"
                f" {_REGISTRY + 'url'!r}"
            )
        if self._decode_one is None:
            self._decode_one = _from_registry("avro", self._topic, self._registry, "", key=True)
        return decoded(self._decode_one, key, headers)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _bare_avro(schema: str, base: Path, where: str) -> Callable[[bytes, Headers], Any]:
    """Return what decodes values of one schema, which they do not name."""
    import io

    with _needs("avro"):
        import fastavro
        from fastavro.schema import SchemaParseException, UnknownType

    text = schema
    try:
        if not schema.lstrip().startswith(("{", "[", '"')):
            text = (base / Path(schema).expanduser()).read_text(encoding="utf-8")
        parsed = fastavro.parse_schema(json.loads(text))
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        SchemaParseException,
        UnknownType,
    ) as problem:
        raise InputError(
            "no Avro schema", got=f"{type(problem).__name__}: {problem}", where=where,
            expected=f"{_SCHEMA!r}: the path of an .avsc file, or its text",
        ) from None  # fmt: skip

    def decode_one(value: bytes, _: Headers) -> Any:
        stream = io.BytesIO(value)
        data = fastavro.schemaless_reader(stream, parsed, None)
        if left := len(value) - stream.tell():
            raise ValueError(f"{left} bytes follow the record: it is of another schema")
        return data

    return decode_one


def _from_registry(
    format: str, topic: str, registry: dict[str, Any], message: str, *, key: bool = False
) -> Callable[[bytes, Headers], Any]:
    """Return what decodes values (or keys) that name their schema."""
    with _needs(format):
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.serialization import MessageField, SerializationContext

        module = importlib.import_module(f"confluent_kafka.schema_registry.{format}")
    client = SchemaRegistryClient(registry) if registry else None
    deserialize: Any
    if format == "avro":
        deserialize = module.AvroDeserializer(client)
    else:
        from skewless.streams._protobuf import fields

        settings = {"use.deprecated.format": False}
        protobuf = module.ProtobufDeserializer(_message_type(message), settings, client)

        def deserialize(value: bytes, context: Any) -> Any:
            return fields(protobuf(value, context))

    field = MessageField.KEY if key else MessageField.VALUE
    plain = SerializationContext(topic, field)

    named_by = _KEY_HEADER if key else _VALUE_HEADER
    hint = f"; for Avro without a registry give the option {_SCHEMA!r}" if format == "avro" else ""

    def decode_one(value: bytes, headers: Headers) -> Any:
        if value[:1] not in _FRAMES and not any(name == named_by for name, _ in headers or ()):
            raise ValueError(f"it names no schema of a Schema Registry{hint}")
        context = plain if not headers else SerializationContext(topic, field, headers)
        return deserialize(value, context)

    return decode_one


@contextlib.contextmanager
def _needs(format: str) -> Iterator[None]:
    """Say how to install the libraries of a format that are missing."""
    try:
        yield
    except ModuleNotFoundError as problem:
        raise MissingDependency(
            f"{format} messages need {problem.name}, which is not installed",
            hint=f"Install it with: pip install 'confluent-kafka[{format},schemaregistry]'",
        ) from problem


def _message_type(place: str) -> Any:
    """Return the message class at ``module:Class``."""
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as problem:
        raise InputError(
            "no message class there",
            got=f"{place!r}: {problem}",
            expected="module:Class of a module that protoc made",
            where=f"option {_MESSAGE!r}",
        ) from None


@cache
def _registry_errors() -> tuple[type[Exception], ...]:
    """Return what is raised where the registry cannot be asked."""
    found: list[type[Exception]] = [OSError]
    for module, names in (
        ("confluent_kafka.schema_registry.error", ("SchemaRegistryError", "OAuthTokenError")),
        ("httpx", ("TransportError", "HTTPStatusError")),
        ("httpx2", ("TransportError", "HTTPStatusError")),
    ):
        for name in names:
            try:
                found.append(getattr(importlib.import_module(module), name))
            except (ModuleNotFoundError, AttributeError):
                continue
    return tuple(found)
