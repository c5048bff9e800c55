"""What both clients have in common: calls as they are sent, answers as they are understood."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from skewless.client.decode import result
from skewless.clock import to_micros
from skewless.codec import finite
from skewless.definitions import FeatureRef, FeatureView, OnDemandView
from skewless.definitions.feature_service import FeatureService, references_of
from skewless.errors import (
    InputError,
    SkewlessError,
    StoreError,
    StoreUnavailable,
    from_dict,
    said_by,
)
from skewless.plan.results import OnlineResult
from skewless.plan.selection import Features
from skewless.request_errors import RequestError
from skewless.types import shown

Moment = datetime | str | int
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
REQUEST_ID = "x-request-id"
_ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Pushed:
    """What became of the rows handed in.

    Attributes:
        source: of the rows.
        accepted: new rows, corrections and late ones among them.
        corrections: of these, rows that replace an earlier one of their row id.
        duplicates: rows that were there already.
        late: accepted rows beyond the source's lateness.
        quarantined: rows that do not fit the source.
        reasons: position and reason of the first hundred of these.
        sequence: of the newest row in the event log.
        ignored: fields that the source does not have, which were left out.
    """

    source: str
    accepted: int
    corrections: int
    duplicates: int
    late: int
    quarantined: int
    reasons: tuple[tuple[int, str], ...]
    sequence: int
    ignored: tuple[str, ...] = ()


@dataclass
class Call:
    """One call.

    Attributes:
        method: of HTTP.
        target: path and query.
        body: what is sent.
        kind: media type of the body.
        safe: whether it may be sent again when it is not known what became of it.
        parse: makes the result of the answer's body.
    """

    method: str
    target: str
    body: bytes = b""
    kind: str = "application/json"
    safe: bool = True
    parse: Callable[[bytes], Any] = field(default=msgspec.json.decode)

    def result(self, headers: Mapping[str, str], body: bytes, where: str) -> Any:
        """Return the result of an answer; one of a read keeps the id of its request.

        Raises:
            StoreError: it is no answer of ours, as a proxy or another server gives.
        """
        try:
            found = self.parse(body)
        except Exception as problem:
            raise StoreError(
                "an answer that is none of skewless serve",
                got=f"{shown(body)}: {said_by(problem)}",
                where=f"{self.method} {self.target.partition('?')[0]} of {where}",
                hint="Is it the address of a skewless server?"
                if self.safe
                else "It is not known whether it was done.",
            ) from problem
        if isinstance(found, OnlineResult):
            found.request_id = headers.get(REQUEST_ID, "")
        return found


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        host: name or address.
        port: of the server.
        tls: whether TLS is spoken.
        prefix: of all paths.
    """

    host: str
    port: int
    tls: bool
    prefix: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Return the address that a URL names; `InputError` if it is none of HTTP."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise InputError("not the address of a server", got=url, expected="http://host:6566")
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def shown(self) -> str:
        """Host and port."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def features_call(
    features: Features, entities: Sequence[Mapping[str, Any]], at: Moment | None, full_names: bool
) -> Call:
    """Return the call for feature vectors."""
    body: dict[str, Any] = {
        "features": _names(features),
        "entities": [_sendable(entity) for entity in entities],
        "include": ["event_times", "versions", "types"],
    }
    if at is not None:
        body["at"] = to_micros(at, where="at")
    if full_names:
        body["full_names"] = True
    return Call(
        "POST", "/v1/features", encoded(body), parse=lambda answer: result(answer, entities)
    )


def push_call(source: str, rows: Any, backdate: bool) -> Call:
    """Return the call for a push: dicts as JSON, tables as Arrow."""
    if isinstance(rows, Mapping):
        rows = [rows]
    if isinstance(rows, Sequence) or not hasattr(rows, "__arrow_c_stream__"):
        listed = rows if isinstance(rows, Sequence) else list(_iterable(rows))
        body = {"source": source, "rows": [_sendable(row) for row in listed], "backdate": backdate}
        return Call("POST", "/v1/push", encoded(body), safe=False, parse=_pushed)
    query = urlencode({"source": source, "backdate": str(backdate).lower()})
    return Call("POST", f"/v1/push?{query}", _arrow(rows), _ARROW, safe=False, parse=_pushed)


def materialize_call(
    views: str | Sequence[str] | None, start: Moment | None, end: Moment | None, backfill: bool
) -> Call:
    """Return the call that starts a materialization."""
    body = {
        "views": [views] if isinstance(views, str) else None if views is None else list(views),
        "start": None if start is None else to_micros(start, where="start"),
        "end": None if end is None else to_micros(end, where="end"),
        "backfill": backfill,
    }
    return Call("POST", "/v1/materialize", encoded(body), safe=False, parse=_job)


def explain_call(feature: str, entity: Mapping[str, Any], at: Moment | None) -> Call:
    """Return the call for the rows behind a value."""
    query = {"feature": feature} | {name: _text(value) for name, value in entity.items()}
    if at is not None:
        query["at"] = str(to_micros(at, where="at"))
    return Call("GET", f"/v1/explain?{urlencode(query)}", parse=_object)


def list_call(what: str, query: Mapping[str, Any] | None = None) -> Call:
    """Return the call for one of the lists of what there is."""
    target = f"/v1/{what}" + (f"?{urlencode(query)}" if query else "")
    return Call("GET", target, parse=lambda body: _listed(body, what))


def job_call(number: str) -> Call:
    """Return the call for what has become of a job."""
    return Call("GET", f"/v1/jobs/{quote(number, safe='')}", parse=_job)


def ready_call() -> Call:
    """Return the call for whether the server can answer."""
    return Call("GET", "/ready", parse=lambda body: _object(body)["ready"] is True)


def _names(features: Features) -> list[str]:
    if isinstance(features, FeatureService):
        return [features.name]
    if isinstance(features, str):
        return [features]
    if isinstance(features, (FeatureView, OnDemandView, FeatureRef)):
        return references_of(features)
    return [name for member in features for name in references_of(member)]


def _sendable(row: Any) -> Any:
    """Return a row with its infinities as texts and NaN as null, in lists and records too."""
    if not isinstance(row, Mapping) or all(map(_as_it_is, row.values())):
        return row
    return finite(dict(row))


def _as_it_is(value: Any) -> bool:
    """Return whether a value surely holds no infinity and no NaN; long lists without a loop."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        try:
            return math.isfinite(sum(value))
        except (TypeError, OverflowError):  # not a list of numbers alone
            return all(map(_as_it_is, value))
    return not isinstance(value, (float, Mapping, tuple))


def encoded(body: Any) -> bytes:
    """Return plain data as JSON; bytes as base64, times in ISO 8601, NumPy's numbers as numbers."""
    return msgspec.json.encode(body, enc_hook=_foreign)


def _foreign(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise InputError("a value that cannot be sent", got=f"{value!r} ({type(value).__name__})")


def _text(value: Any) -> str:
    found = msgspec.to_builtins(value, enc_hook=_foreign)
    return str(found).lower() if isinstance(found, bool) else str(found)


def _iterable(rows: Any) -> Iterable[Any]:
    if isinstance(rows, Iterable) and not hasattr(rows, "columns"):
        return rows
    raise InputError("not rows", got=type(rows).__name__, expected="dicts or a table")


def _arrow(rows: Any) -> bytes:
    import pyarrow as pa

    from skewless.stores.offline.as_table import as_table

    table = as_table(rows, where="what is pushed")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


_object = msgspec.json.Decoder(dict[str, Any]).decode


def _listed(body: bytes, what: str) -> list[dict[str, Any]]:
    return msgspec.convert(_object(body)[what], list[dict[str, Any]])


def _job(body: bytes) -> dict[str, Any]:
    found = _object(body)
    if not all(isinstance(found[name], str) for name in ("job", "status")):
        raise TypeError("a job and its status are texts")
    return found


class _Reason(msgspec.Struct):
    row: int
    reason: str


class _Counts(msgspec.Struct):
    source: str
    accepted: int
    corrections: int
    duplicates: int
    late: int
    quarantined: int
    reasons: list[_Reason]
    sequence: int
    ignored: list[str] = []


_COUNTS = msgspec.json.Decoder(_Counts)


def _pushed(body: bytes) -> Pushed:
    data = msgspec.structs.asdict(_COUNTS.decode(body))
    reasons = tuple((entry.row, entry.reason) for entry in data.pop("reasons"))
    return Pushed(reasons=reasons, ignored=tuple(data.pop("ignored")), **data)


def problem_of(status: int, body: bytes, where: str) -> SkewlessError:
    """Return the error that an answer stands for: of the same class as in process."""
    try:
        return from_dict(msgspec.json.decode(body))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
        text = body[:200].decode("utf-8", "replace")
        kind = StoreUnavailable if status >= 500 else RequestError
        return kind(f"the server answers {status}", got=text or None, where=where)


def pause_of(attempt: int, headers: Mapping[str, str]) -> float:
    """Return how many seconds to wait before the next attempt: not in step with others."""
    asked = headers.get("retry-after", "")
    least = float(asked) if asked.isdecimal() else 0.0
    own: float = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0)
    return max(own, min(least, LONGEST_PAUSE) * random.uniform(0.5, 1.0))


def may_repeat(call: Call, status: int, problem: SkewlessError) -> bool:
    """Return whether a call that was answered so may be sent again.

    A read may, where the server is overloaded or its store away. A write only where nothing was
    done: it was refused at the door.
    """
    if status == 429:
        return True
    if status != 503:
        return call.safe and status in (502, 504)
    return call.safe or type(problem).__name__ == "Overloaded"
