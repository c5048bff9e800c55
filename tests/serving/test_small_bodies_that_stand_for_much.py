"""A body of a few bytes of Arrow may stand for any amount: it is refused before it is unpacked."""

import resource
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

import skewless as sl
from skewless.serving.app import App
from skewless.serving.settings import Settings
from tests.serving.calling import Answer, call

ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
MANY = 40_000_000
AT = datetime(2026, 1, 1, 9, tzinfo=UTC)


@pytest.fixture
def app(store: sl.FeatureStore) -> App:
    made = App(store, Settings(max_body=1 << 20))
    made.start()
    return made


def stream(columns: dict[str, pa.Array], compression: str | None = None) -> bytes:
    table, sink = pa.table(columns), pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def zeros(compression: str) -> bytes:
    numbers = pa.array(np.zeros(MANY // 8), pa.float64())
    return stream(
        {"card_id": pa.array(np.zeros(MANY // 8), pa.int64()), "asked": numbers}, compression
    )


def dictionary() -> bytes:
    long = pa.array(["x" * 500_000])
    return stream({"card_id": pa.DictionaryArray.from_arrays(np.zeros(5_000, np.int8), long)})


def compressed_dictionary() -> bytes:
    long = pa.array(["x" * MANY])
    return stream({"card_id": pa.DictionaryArray.from_arrays(np.zeros(2, np.int8), long)}, "zstd")


def runs() -> bytes:
    return stream(
        {"card_id": pa.RunEndEncodedArray.from_arrays(pa.array([2**30], pa.int32()), ["c1"])}
    )


def nulls() -> bytes:
    body, few, many = stream({"card_id": pa.nulls(12_345)}), (12_345).to_bytes(8, "little"), 2**60
    assert body.count(few) >= 2
    return body.replace(few, many.to_bytes(8, "little"))


def nulls_in_a_list() -> bytes:
    offsets = pa.array([0, 2**24], pa.int32())
    return stream({"card_id": pa.ListArray.from_arrays(offsets, pa.nulls(2**24))})


def views() -> bytes:
    """Four thousand views of one long text."""
    one = pa.array(["x" * 400_000], pa.string_view())
    view = np.frombuffer(one.buffers()[1], np.uint8)
    many = pa.py_buffer(np.tile(view, 4_000).tobytes())
    return stream(
        {"card_id": pa.Array.from_buffers(pa.string_view(), 4_000, [None, many, one.buffers()[2]])}
    )


def list_views() -> bytes:
    items = pa.array(np.zeros(50_000), pa.float64())
    offsets, sizes = pa.array([0] * 5_000, pa.int32()), pa.array([50_000] * 5_000, pa.int32())
    return stream({"card_id": pa.ListViewArray.from_arrays(offsets, sizes, items)})


BOMBS: list[tuple[Callable[[], bytes], int]] = [
    (lambda: zeros("zstd"), 413), (lambda: zeros("lz4"), 413), (dictionary, 413),
    (compressed_dictionary, 413), (runs, 422), (nulls, 413), (nulls_in_a_list, 413), (views, 413),
    (list_views, 422),
]  # fmt: skip


@pytest.mark.parametrize(("bomb", "status"), BOMBS)
@pytest.mark.parametrize("target", ["/v1/push?source=payments", "/v1/features?service=fraud"])
def test_a_small_body_that_stands_for_much_is_refused(
    app: App, bomb: Callable[[], bytes], status: int, target: str
) -> None:
    body = bomb()
    assert len(body) < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = call(app, "POST", target, body=body, headers=ARROW)
    assert answer.status == status, answer.body
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kB


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_columns_as_libraries_write_them_are_taken(app: App, compression: str | None) -> None:
    def ask(keys: pa.Array) -> Answer:
        body = stream({"card_id": keys}, compression)
        return call(app, "POST", "/v1/features?features=Newest:amount", body=body, headers=ARROW)

    keys = ["c1", "c3"] * 200
    for column in (pa.array(keys), pa.array(keys, pa.string_view()), pa.array(keys).dictionary_encode(),
                   pa.array(keys, pa.large_string()), pa.chunked_array([keys[:3], keys[3:]])):  # fmt: skip
        answer = ask(column)
        assert answer.status == 200, answer.body
        assert answer.data["values"]["amount"] == [2.5, 7.0] * 200
    rows = pa.table(
        {"payment_id": ["n1", "n2"], "card_id": pa.array(["c9", "c9"]).dictionary_encode(),
         "amount": [1.0, None], "country": pa.nulls(2), "picture": pa.array([b"a", None]),
         "ok": [True, None], "seen": pa.array([AT, None], pa.timestamp("us", "UTC")),
         "paid_at": pa.array([AT, AT], pa.timestamp("us", "UTC")).dictionary_encode()}
    )  # fmt: skip
    body = stream(dict(zip(rows.column_names, rows.columns, strict=True)), compression)
    pushed = call(app, "POST", "/v1/push?source=payments", body=body, headers=ARROW)
    assert (pushed.status, pushed.data.get("accepted")) == (200, 2), pushed.body


def test_what_compressed_buffers_announce_is_no_way_to_read_beyond_them(app: App) -> None:
    whole = bytearray(stream({"card_id": pa.array(["c1"] * 1_000)}, "zstd"))
    for at in range(0, len(whole), 3):
        changed = bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        answer = call(app, "POST", "/v1/features?service=fraud", body=changed, headers=ARROW)
        assert answer.status < 500, (at, answer.body)
