"""Odd answers of servers at the door of the client: the values that they say, or an error of ours."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

import skewless as sl
from skewless.client.calls import Address
from skewless.client.transport import Transport
from skewless.errors import SkewlessError, StoreError
from tests.doors.odd import told

OUTPUTS: dict[str, tuple[Any, list[Any]]] = {
    "whole": ("int64", [1, None]),
    "number": ("float64", [1.5, "Infinity"]),
    "text": ("str", ["a", ""]),
    "true": ("bool", [True, False]),
    "raw": ("bytes", ["YQ==", None]),
    "moment": ("timestamp", ["2026-01-02T00:00:00Z", None]),
    "day": ("date", ["2026-01-02", None]),
    "exact": ({"decimal": [10, 2]}, ["1.50", None]),
    "many": ({"list": "str"}, [["a"], []]),
    "vector": ({"vector": 2}, [[1.0, 2.0], None]),
    "map": ({"map": "int64"}, [{"a": 1}, {}]),
    "json": ("json", ["[1]", None]),
}
READ: dict[str, Any] = {
    "at": "2026-01-02T00:00:00Z",
    "values": {name: values for name, (_, values) in OUTPUTS.items()},
    "statuses": {name: ["present", "null"] for name in OUTPUTS},
    "event_times": {name: ["2026-01-01T00:00:00Z", None] for name in OUTPUTS},
    "versions": {name: f"V@v1:{name}" for name in OUTPUTS},
    "types": {name: dtype for name, (dtype, _) in OUTPUTS.items()},
}
PUSHED = {
    "source": "s", "accepted": 1, "corrections": 0, "duplicates": 0, "late": 0, "quarantined": 1,
    "reasons": [{"row": 0, "reason": "odd"}], "sequence": 1,
}  # fmt: skip
JOB = {"job": "1", "status": "done", "progress": 1.0, "results": {}}
CALLS: dict[str, tuple[Callable[[sl.Client], Any], Any]] = {
    "read": (lambda c: c.get_online_features("V", [{"k": 1}, {"k": 2}]), READ),
    "push": (lambda c: c.push("s", [{"k": 1}]), PUSHED),
    "materialize": (lambda c: c.materialize(wait=0.0), JOB),
    "job": (lambda c: c.job("1"), JOB),
    "explain": (lambda c: c.explain("V:a", {"k": 1}), {"value": 1}),
    "views": (lambda c: c.listed("views"), {"views": [{"name": "V"}]}),
    "search": (lambda c: c.search("a"), {"features": [{"name": "V:a"}]}),
}
ODD = [None, True, 0, -1, 1.5, 2**70, "", "a", "Infinity", "7", "\u0000", [], {}, [1], [None], ["a"],
       {"a": 1}, [[]], "2026-13-01", "present", "unheard", [{"row": "0"}], "YQ=="]  # fmt: skip
BODIES = [b"", b" ", b"null", b"1", b'"a"', b"[]", b"{}", b"{", b"<html>", b"\xff\xfe", b"\x00",
          b"[" * 100_000, b'{"error": 1}', b'{"error": "InputError", "what": 5}',
          b'{"error": "StoreError", "what": "odd", "hint": 5}', b'{"error": "X", "what": "odd"}',
          b'{"error": "SkewlessError", "what": "odd", "where": ["a"]}']  # fmt: skip


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what asks a server that gives one answer."""

    def answered(ask: Callable[[sl.Client], Any], body: bytes, status: int = 200) -> Any:
        monkeypatch.setattr(Transport, "send", lambda *_: (status, {}, body))
        with sl.Client("http://127.0.0.1:1", retries=0) as client:
            return ask(client)

    return answered


@pytest.mark.parametrize("call", CALLS)
def test_a_whole_answer_is_taken(answered: Callable[..., Any], call: str) -> None:
    ask, good = CALLS[call]
    assert answered(ask, json.dumps(good).encode())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "status", [200, 201, 204, 299, 301, 304, 400, 404, 418, 429, 500, 503, 599]
)
def test_answers_of_other_servers_are_errors_of_ours(
    answered: Callable[..., Any], call: str, status: int
) -> None:
    ask, good = CALLS[call]
    for body in BODIES:
        if call == "explain" and status < 300 and body in (b"{}", *BODIES[-5:]):
            continue  # it is handed on as it is
        with pytest.raises(SkewlessError) as problem:
            answered(ask, body, status)
        if b'"what"' not in body:  # else it is what the server says
            told(problem.value)
    if status >= 300:
        with pytest.raises(SkewlessError):
            answered(ask, json.dumps(good).encode(), status)


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_is_cut_off_is_an_error(answered: Callable[..., Any], call: str) -> None:
    ask, good = CALLS[call]
    body = json.dumps(good).encode()
    for end in range(0, len(body), 7):
        with pytest.raises(StoreError, match="none of skewless serve"):
            answered(ask, body[:end])


@pytest.mark.parametrize("seed", range(4))
def test_an_answer_with_something_else_in_it_says_that_or_is_an_error(
    answered: Callable[..., Any], seed: int
) -> None:
    """What is read is what stands there, of the type that stands there, and for its entity."""
    chance = random.Random(seed)
    ask, _ = CALLS["read"]
    for _ in range(400):
        data = copy.deepcopy(READ)
        part = chance.choice(
            ["values", "values", "values", "statuses", "event_times", "versions", "types"]
        )
        name, odd = chance.choice([*OUTPUTS]), chance.choice(ODD)
        if part in ("versions", "types") or chance.random() < 0.2:
            data[part][name] = odd
        elif chance.random() < 0.1:
            data[part] = odd
        else:
            data[part][name][chance.randrange(2)] = odd
        try:
            found = answered(ask, json.dumps(data).encode())
        except StoreError as problem:
            told(problem)
            continue
        for name, (dtype, _) in OUTPUTS.items():
            if part == "types" and data["types"][name] != dtype:
                continue
            assert [plain(value) for value in found.to_dict()[name]] == [
                plain(sl.types.dtype_from_dict(dtype).coerce(_read(value, dtype)))
                for value in data["values"][name]
            ]


def plain(value: Any) -> Any:
    return type(value), repr(value)


def _read(value: Any, dtype: Any) -> Any:
    """What a value that was taken says, by the strict codec of pushes and requests."""
    from skewless.codec import from_json

    return from_json(value, sl.types.dtype_from_dict(dtype))


def test_an_address_with_a_password_is_not_shown_with_it() -> None:
    assert Address.of("http://me:secret@host:1").shown == "host:1"
