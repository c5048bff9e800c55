"""What messages of a topic carry: JSON, Avro or Protobuf, as rows.

Avro and Protobuf are decoded by confluent-kafka's own deserializers, with schemas from a Schema
Registry. Where that cannot be reached, messages wait; they are never taken for poison.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from skewless.errors import InputError, MissingDependency, StoreUnavailable
from skewless.streams.decoding import Decoded, JsonRows
from skewless.types import DType

FORMATS = ("json", "avro", "protobuf")
_REGISTRY = "schema.registry."
_MESSAGE = "protobuf.message"
_NO_SUCH_SCHEMA = (40401, 40402, 40403)


class Payload(ABC):
    """Makes rows of what messages carry."""

    @abstractmethod
    def decode(self, values: Sequence[bytes], columns: Mapping[str, DType]) -> Decoded:
        """Return the rows of values, one each.

        Raises:
            StoreUnavailable: a schema cannot be looked up.
        """


class JsonPayload(Payload):
    """A JSON object a message."""

    def __init__(self) -> None:
        self._rows: JsonRows | None = None
        self._columns: dict[str, DType] = {}

    def decode(self, values: Sequence[bytes], columns: Mapping[str, DType]) -> Decoded:
        if self._rows is None or self._columns != columns:
            self._rows, self._columns = JsonRows(columns), dict(columns)
        return self._rows.decode(values)


class RegistryPayload(Payload):
    """A value that names its schema in a Schema Registry."""

    def __init__(
        self, deserialize: Any, context: Any, failures: tuple[type[Exception], ...]
    ) -> None:
        self._deserialize = deserialize
        self._context = context
        self._failures = failures

    def decode(self, values: Sequence[bytes], columns: Mapping[str, DType]) -> Decoded:
        rows: list[dict[str, Any]] = []
        taken: list[int] = []
        poison: list[tuple[int, str]] = []
        for number, value in enumerate(values):
            try:
                rows.append(self._row(value, columns))
                taken.append(number)
            except ValueError as problem:
                poison.append((number, str(problem)))
        return Decoded(rows, taken, poison)

    def _row(self, value: bytes, columns: Mapping[str, DType]) -> dict[str, Any]:
        try:
            data = self._deserialize(value, self._context)
        except self._failures as problem:
            if not _is_for_ever(problem):
                raise StoreUnavailable(
                    "the Schema Registry cannot be asked", got=str(problem)
                ) from problem
            raise ValueError(f"its schema is not in the Schema Registry: {problem}") from None
        except _mistakes() as problem:
            raise ValueError(f"{type(problem).__name__}: {problem}") from None
        if not isinstance(data, Mapping):
            data = _fields(data) if hasattr(data, "ListFields") else None
        if data is None:
            raise ValueError("its schema is no record")
        return {name: data.get(name) for name in columns}


def payload(format: str, topic: str, options: dict[str, Any]) -> Payload:
    """Return what decodes a topic; takes the options that are about it out of ``options``.

    Raises:
        InputError: an unknown format, or an option it needs is missing.
        MissingDependency: the libraries of the format are not installed.
    """
    registry = {
        key.removeprefix(_REGISTRY): options.pop(key)
        for key in list(options)
        if key.startswith(_REGISTRY)
    }
    message = options.pop(_MESSAGE, None)
    if format not in FORMATS:
        raise InputError(
            "messages of an unknown format", got=repr(format), expected=", ".join(FORMATS)
        )
    if format == "json":
        return JsonPayload()
    needed = {"schema.registry.url": registry.get("url")}
    if format == "protobuf":
        needed = {_MESSAGE: message}
    for name, value in needed.items():
        if not value:
            raise InputError(f"{format} messages need the option {name!r}", where=f"topic {topic}")
    return _from_registry(format, topic, registry, str(message))


def _from_registry(format: str, topic: str, registry: dict[str, Any], message: str) -> Payload:
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.error import SchemaRegistryError
        from confluent_kafka.serialization import MessageField, SerializationContext

        module = importlib.import_module(f"confluent_kafka.schema_registry.{format}")
    except ModuleNotFoundError as problem:
        raise MissingDependency(
            f"{format} messages need {problem.name}, which is not installed",
            hint=f"Install it with: pip install 'confluent-kafka[{format},schemaregistry]'",
        ) from problem
    client = SchemaRegistryClient(registry) if registry else None
    if format == "avro":
        deserialize = module.AvroDeserializer(client)
    else:
        settings = {"use.deprecated.format": False}
        deserialize = module.ProtobufDeserializer(_message_type(message), settings, client)
    context = SerializationContext(topic, MessageField.VALUE)
    return RegistryPayload(deserialize, context, (SchemaRegistryError, *_connection_errors()))


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


def _connection_errors() -> tuple[type[Exception], ...]:
    """Return what the client's HTTP library raises where the registry cannot be reached."""
    found: list[type[Exception]] = [OSError]
    for name in ("httpx", "httpx2"):
        try:
            found.append(importlib.import_module(name).TransportError)
        except (ModuleNotFoundError, AttributeError):
            continue
    return tuple(found)


def _mistakes() -> tuple[type[Exception], ...]:
    """Return what deserializers raise about bytes that are not what they should be."""
    from confluent_kafka import KafkaException
    from confluent_kafka.serialization import SerializationError

    return (SerializationError, KafkaException, ValueError, LookupError, TypeError, EOFError)


def _is_for_ever(problem: Exception) -> bool:
    return getattr(problem, "error_code", None) in _NO_SUCH_SCHEMA


def _fields(message: Any) -> dict[str, Any]:
    """Return a Protobuf message as a dict; fields that are not set are null."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if getattr(field, "has_presence", False) and not message.HasField(field.name):
            found[field.name] = None
        elif hasattr(value, "ToDatetime"):
            from datetime import UTC

            found[field.name] = value.ToDatetime(tzinfo=UTC)
        elif hasattr(value, "items"):
            found[field.name] = {key: _plain(item) for key, item in value.items()}
        elif not isinstance(value, (str, bytes)) and hasattr(value, "__iter__"):
            found[field.name] = [_plain(item) for item in value]
        else:
            found[field.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    return _fields(value) if hasattr(value, "ListFields") else value
