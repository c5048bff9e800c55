"""Bad input is answered with 4xx and what, got, expected, where, hint; never with 500."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.serving.app import App
from skewless.serving.settings import Settings
from tests.serving.calling import Answer, call
from tests.serving.conftest import NOW

JSON = {"content-type": "application/json"}
C1 = [{"card_id": "c1"}]


def raw(app: App, body: bytes, path: str = "/v1/features", **headers: str) -> Answer:
    return call(app, "POST", path, body=body, headers=JSON | headers)


def refused(answer: Answer, status: int = 422) -> dict[str, Any]:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert {"error", "what"} <= set(answer.data)
    assert "Traceback" not in answer.body.decode()
    return answer.data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xef\xbb\xbf{}",
        b'{"entities": [{"card_id": "\xff"}], "service": "fraud"}',
        b'{"entities": [{"card_id": "\\ud800"}], "service": "fraud"}',
        b'{"entities": [{"card_id": NaN}], "service": "fraud"}',
        b'{"entities": [{"card_id": Infinity}], "service": "fraud"}',
        b'{"entities": [{"card_id": 1e999}], "service": "fraud"}',
        b'{"entities": ' + b"[" * 50_000,
        b'{"entities": [{"card_id": ' + b"1" * 5_000 + b"}]}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_json_is_refused(app: App, body: bytes) -> None:
    refused(raw(app, body))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"entities": 5}, "entities"),
        ({"entities": [1]}, "entities[0]"),
        ({"entities": {"card_id": "c1"}}, "entities"),
        ({"entities": []}, "no entities"),
        ({"entities": {}}, "lacks the column 'card_id'"),
        ({"entities": {"card_id": []}}, "no entities"),
        ({"entities": {"card_id": ["a", "b"], "x": ["c"]}}, "has no key 'x'"),
        ({"entities": [{"card_id": 17}]}, "String"),
        ({"entities": [{"card": "c1"}]}, "lacks the column 'card_id'"),
        ({"entities": [{}]}, "lacks the column 'card_id'"),
        ({"entities": [{"card_id": "c1", "more": 1}]}, "has no key 'more'"),
        ({"service": 7}, "service"),
        ({"at": "2026-01-01T10:00:00"}, "without a time zone"),
        ({"at": "yesterday"}, "not a time"),
        ({"at": 10**30}, "not a time"),
        ({"at": -(10**18)}, "beyond the calendar"),
        ({"at": 1.5}, "at"),
        ({"at": True}, "at"),
        ({"full_names": "yes"}, "full_names"),
        ({"include": ["secrets"]}, "nothing of that name"),
        ({"unknown": 1}, "unknown"),
        ({"service": None}, "nothing is asked for"),
        ({"features": ["Spend:total"]}, "both"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_a_request_of_another_shape_is_refused(app: App, change: dict[str, Any], part: str) -> None:
    found = refused(
        call(app, "POST", "/v1/features", {"service": "fraud", "entities": C1} | change)
    )
    assert part in json.dumps(found)


@pytest.mark.parametrize(
    ("features", "status", "part"),
    [
        ([], 422, "no features"),
        ({"a": 1}, 422, "features"),
        ([1], 422, "features"),
        (["Spend:total", "Spend:total"], 422, "twice"),
        (["Spend:count", "Spend@v1:count"], 422, "twice"),
        (["Spend:totl"], 404, "Did you mean 'total'"),
        (["Spent:total"], 404, "Did you mean 'Spend'"),
        (["Spend@v9:total"], 404, "v9"),
        (["Spend@vx:total"], 422, "Spend@vx:total"),
        (["nothing"], 404, "nothing"),
        (["Spend:"], 422, "Spend:"),
        ([":total"], 422, ":total"),
        (["a:b:c"], 404, "no view 'a'"),
        ([""], 404, "no view or service"),
        (["x" * 100_000], 404, "xxx"),
        (["Spend:total"] * 2_001, 413, "at most 2000"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_features_that_cannot_be_served_are_refused(
    app: App, features: Any, status: int, part: str
) -> None:
    answer = call(app, "POST", "/v1/features", {"features": features, "entities": C1})
    assert part in json.dumps(refused(answer, status))


def test_an_unknown_service_is_refused_with_the_nearest_name(app: App) -> None:
    answer = call(app, "POST", "/v1/features", {"service": "froud", "entities": C1})
    assert "Did you mean 'fraud'" in refused(answer, 404)["hint"]


def test_request_fields_are_checked(app: App) -> None:
    def asked(value: Any) -> Answer:
        body = {"features": ["Payment:ratio"], "entities": [{"card_id": "c1", "asked": value}]}
        return call(app, "POST", "/v1/features", body)

    assert "asked" in refused(asked("much"))["what"]
    assert refused(asked(10**400))["error"] == "InputError"
    assert (
        "lacks"
        in refused(
            call(app, "POST", "/v1/features", {"features": ["Payment:ratio"], "entities": C1})
        )["what"]
    )
    assert asked("Infinity").status == 200
    assert asked(None).status == 200


@pytest.mark.parametrize("key", [2**63, -(2**70), 1.5, "7.0", "07x", True, [1]])
def test_numbers_in_keys_are_checked(app: App, key: Any) -> None:
    body = {"features": ["Trip:km"], "entities": [{"driver": key, "code": "AQ=="}]}
    refused(call(app, "POST", "/v1/features", body))


@pytest.mark.parametrize("code", ["not base64!", 5])
def test_bytes_in_keys_are_checked(app: App, code: Any) -> None:
    body = {"features": ["Trip:km"], "entities": [{"driver": 7, "code": code}]}
    refused(call(app, "POST", "/v1/features", body))


def test_lists_of_unequal_length_are_refused(app: App) -> None:
    body = {"features": ["Trip:km"], "entities": {"driver": [1, 2], "code": ["AQ=="]}}
    found = refused(call(app, "POST", "/v1/features", body))
    assert found["got"] == {"driver": 2, "code": 1}


def test_too_many_entities_are_refused(app: App) -> None:
    body = {"service": "fraud", "entities": {"card_id": ["c"] * 10_001}}
    assert refused(call(app, "POST", "/v1/features", body), 413)["expected"] == "at most 10000"


def test_a_large_body_is_refused_before_it_is_read(app: App) -> None:
    announced = {"content-length": str(100 << 20), "content-type": "application/json"}
    never_read: list[bytes] = []
    answer = call(app, "POST", "/v1/features", headers=announced, chunks=never_read)
    refused(answer, 413)


def test_a_large_body_in_chunks_is_refused_when_it_grows_too_large(app: App) -> None:
    chunks = [b" " * (1 << 20)] * 100
    answer = call(app, "POST", "/v1/features", headers=JSON, chunks=chunks)
    assert "at most" in refused(answer, 413)["expected"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "a/b; c=d", ""]
)
def test_another_kind_of_body_is_refused(app: App, kind: str) -> None:
    answer = call(app, "POST", "/v1/features", body=b"{}", headers={"content-type": kind})
    assert "application/json" in json.dumps(refused(answer, 415))


def test_a_compressed_body_is_refused(app: App) -> None:
    refused(raw(app, b"\x1f\x8b", **{"content-encoding": "gzip"}), 415)


@pytest.mark.parametrize("body", [b"", b"junk", b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\0" * 40])
def test_what_is_no_arrow_is_refused(app: App, body: bytes) -> None:
    kind = {"content-type": "application/vnd.apache.arrow.stream"}
    refused(call(app, "POST", "/v1/features?service=fraud", body=body, headers=kind))
    refused(call(app, "POST", "/v1/push?source=payments", body=body, headers=kind))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v1/features/x", 404),
        ("GET", "/v1/jobs/nothing", 404),
        ("GET", "/v1/jobs/" + "x" * 5_000, 404),
        ("DELETE", "/v1/features", 405),
        ("GET", "/v1/push", 405),
        ("OPTIONS", "/v1/features", 405),
        ("PUT", "/health", 405),
        ("GET", "/v1/views?x=1", 422),
        ("GET", "/v1/features?q=spend&limit=0", 422),
        ("GET", "/v1/features?q=spend&limit=-1", 422),
        ("GET", "/v1/explain", 422),
        ("GET", "/v1/explain?feature=Spend", 422),
        ("GET", "/v1/explain?feature=Spend:nothing&card_id=c1", 404),
        ("GET", "/v1/explain?feature=Spend:total", 422),
        ("GET", "/v1/explain?feature=Spend:total&card_id=c1&more=1", 422),
        ("GET", "/v1/explain?feature=Spend:total&card_id=c1&at=now", 422),
        ("GET", "/v1/explain?feature=Trip:km&driver=x&code=AQ==", 422),
        ("GET", "/v1/explain?feature=%ff", 422),
        ("GET", "/v1/explain?" + "&".join(f"a{n}=1" for n in range(100)), 422),
    ],
    ids=lambda value: str(value)[:50],
)
def test_addresses_methods_and_queries_are_checked(
    app: App, method: str, path: str, status: int
) -> None:
    refused(call(app, method, path), status)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json"])
def test_probes_may_have_parameters(app: App, path: str) -> None:
    assert call(app, "GET", path + "?x=1&x=%ff").status == 200


def test_a_wrong_method_is_told_the_right_ones(app: App) -> None:
    assert call(app, "DELETE", "/v1/features").headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"source": "payments"}, 422),
        ({"source": "nothing", "rows": [{}]}, 404),
        ({"source": "payments", "rows": []}, 422),
        ({"source": "payments", "rows": {}}, 422),
        ({"source": "payments", "rows": [5]}, 422),
        ({"source": "payments", "rows": {"card_id": ["a"], "amount": [1, 2]}}, 422),
        ({"source": "payments", "rows": [{"nothing": 1}]}, 422),
        ({"source": "payments", "rows": [{"card_id": "c1"}]}, 422),
        ({"source": "payments", "rows": [{"card_id": "c1"}], "backdate": 1}, 422),
        ({"source": 1, "rows": [{"card_id": "c1"}]}, 422),
    ],
    ids=json.dumps,
)
def test_pushes_are_checked(app: App, body: Any, status: int) -> None:
    refused(call(app, "POST", "/v1/push", body), status)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 10**400},
        {"amount": "x"},
        {"amount": [[]]},
        {"seen": "never"},
        {"seen": "0001-01-01T00:00:00+23:59"},
        {"seen": 10**20},
        {"picture": "not base64!"},
        {"paid_at": "2026-01-01T10:00:00"},
        {"paid_at": "9999-12-31T23:59:59-23:59"},
        {"paid_at": None},
        {"card_id": {"a": 1}},
        {"ok": 5},
        {"payment_id": None},
    ],
    ids=repr,
)
def test_a_wrong_value_in_a_row_is_quarantined_or_refused(app: App, wrong: dict[str, Any]) -> None:
    row = {"payment_id": "x", "card_id": "c1", "amount": 1.0, "paid_at": "2026-01-01T09:59:00Z"}
    answer = call(app, "POST", "/v1/push", {"source": "payments", "rows": [row | wrong]})
    if answer.status == 200:
        assert (answer.data["accepted"], answer.data["quarantined"]) == (0, 1)
        assert answer.data["reasons"][0]["reason"]
    else:
        refused(answer)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"views": ["Nothing"]}, 404),
        ({"views": ["Spend@v7"]}, 404),
        ({"views": ["Spend@x"]}, 422),
        ({"views": []}, 422),
        ({"views": ["Payment"]}, 422),
        ({"views": "Spend"}, 422),
        ({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, 422),
        ({"start": "2026-01-02"}, 422),
        ({"end": 10**40}, 422),
    ],
    ids=json.dumps,
)
def test_materializations_are_checked(app: App, body: Any, status: int) -> None:
    refused(call(app, "POST", "/v1/materialize", body), status)


def test_a_service_whose_view_went_away_is_refused(repo: Path, store: sl.FeatureStore) -> None:
    text = (repo / "features.py").read_text()
    text = text[: text.index("amount = sl.Request")] + 'fraud = sl.FeatureService("fraud", [Spend])'
    (repo / "features.py").write_text(text.replace('sum("1h")', 'sum("2h")'))
    store.apply(store.plan(repin=True), allow_breaking=True)
    store.runtime.registry.retire("Spend", 1)
    app = App(store, Settings())
    app.start()
    answer = call(app, "POST", "/v1/features", {"features": ["Spend@v1:total"], "entities": C1})
    assert "retired" in refused(answer, 410)["what"]
    everything = text.replace('"fraud"', '"other"')
    (repo / "features.py").write_text(everything)
    store.apply(store.plan(), allow_breaking=True)
    app.upkeep.work()
    refused(call(app, "POST", "/v1/features", {"service": "fraud", "entities": C1}), 404)


def test_what_should_not_happen_is_answered_logged_and_counted(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(app.reader, "read_now", broken)
    feast = {"features": ["Spend:total"], "entities": {"card_id": ["c1"]}}
    for path, body in (("/v1/features", {"service": "fraud", "entities": C1}),
                       ("/get-online-features", feast)):  # fmt: skip
        capsys.readouterr()
        slow = call(app, "POST", path, body, headers={"x-request-id": "me"})
        quick = app.at_once(path.encode(), {b"x-request-id": b"me"}, json.dumps(body).encode())
        assert quick is not None
        assert (slow.status, slow.body) == (quick[0].status, quick[0].body)
        assert slow.status == 500
        assert "secret" not in slow.body.decode()
        assert "me" in json.dumps(slow.data)
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        failed = [line for line in lines if line["event"] == "failed"]
        assert [line["id"] for line in failed] == ["me", "me"]
        assert all("a secret of the inside" in line["trace"] for line in failed)
        counted = f'skewless_http_requests_total{{route="{path}",status="500"}} 2'
        assert counted in call(app, "GET", "/metrics").body.decode()


def test_a_function_of_a_user_that_fails_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(
        "import skewless as sl\n"
        "asked = sl.Request('asked', float)\n"
        "card = sl.Entity('card', card_id=str)\n"
        "pays = sl.Source('pays', schema={'card_id': str, 'x': float}, event_time='at')\n"
        "@sl.feature_view(entity=card, source=pays)\n"
        "class V:\n    x = pays.x.latest()\n"
        "@sl.on_demand(inputs={'asked': asked, 'x': V.x}, returns={'y': float})\n"
        "def Broken(asked, x):\n    return {'y': [1 // 0 for _ in asked]}\n"
    )
    with sl.FeatureStore(tmp_path) as store:
        store.apply(store.plan())
        app = App(store, Settings())
        app.start()
        body = {"features": ["Broken:y"], "entities": [{"card_id": "c1", "asked": 1.0}]}
        found = refused(call(app, "POST", "/v1/features", body))
        assert "ZeroDivisionError" in found["got"]


def test_a_time_zone_that_is_no_text_is_the_callers_mistake(app: App) -> None:
    """Arrow validates neither names nor time zones: reading them is what fails."""
    rows = pa.table({"payment_id": ["a"], "card_id": ["c1"], "paid_at": [NOW]})
    rows = rows.cast(rows.schema.set(2, pa.field("paid_at", pa.timestamp("us", "UTC"))))
    for table in (rows, pa.table({"payment_id": [[NOW]]}).cast(
        pa.schema([("payment_id", pa.list_(pa.timestamp("us", "UTC")))])
    )):  # fmt: skip
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = bytes(sink.getvalue()).replace(b"UTC", b"\xe3TC")
        kind = {"content-type": "application/vnd.apache.arrow.stream"}
        found = refused(call(app, "POST", "/v1/push?source=payments", body=body, headers=kind))
        assert found["what"] == "the body is not an Arrow IPC stream"
