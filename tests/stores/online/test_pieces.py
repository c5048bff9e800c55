"""Values in pieces in a store: read as whole ones, and none of their pieces outlives them."""

import pytest

from skewless.errors import CorruptData
from skewless.state.pieces import Head, table_of
from skewless.stores.online.base import TooMuch
from skewless.stores.online.lmdb.store import LMDBStore
from skewless.stores.online.projects import ProjectStore
from skewless.stores.online.sealed import SealedRows, sealed
from skewless.stores.online.sqlite.store import SQLiteStore
from skewless.testing.memory import MemoryStore

HEAD = Head((b"1", b"b", b"x")).moved().with_columns((b"2", b"a", b"x")).moved()
WHOLE = b"2abx"


@pytest.fixture(params=["memory", "sqlite", "lmdb"])
def inner(request, tmp_path):
    match request.param:
        case "memory":
            yield MemoryStore()
        case "sqlite":
            with SQLiteStore(tmp_path / "s.db", sync=False) as store:
                yield store
        case _:
            with LMDBStore(tmp_path / "s", sync=False) as store:
                yield store


@pytest.fixture(params=["whole store", "project"])
def store(inner, request):
    found = sealed(inner)
    return found if request.param == "whole store" else ProjectStore(found, "mine")


def put(store, key=b"k", value=HEAD):
    with store.transaction() as rows:
        (before,) = rows.read_heads("rows", [key])
        rows.write_heads("rows", [(key, value)], {key: before} if isinstance(before, Head) else {})


def pieces_in(inner):
    tables = [name for name in inner.tables() if name.endswith(table_of(""))]
    return [key for table in tables for key, _ in inner.scan(table)]


def test_values_in_pieces_are_read_as_whole_ones(store):
    put(store)
    store.write("rows", [(b"j", b"plain"), (b"l", b"plain too")])
    keys = [b"j", b"k", b"none", b"l", b"k"]
    assert store.read("rows", keys) == [b"plain", WHOLE, None, b"plain too", WHOLE]
    each = store.read_each("rows", keys, lambda at, value: (keys[at], value))
    assert each == [(b"j", b"plain"), (b"k", WHOLE), None, (b"l", b"plain too"), (b"k", WHOLE)]
    assert store.read_one("rows", b"k") == WHOLE
    assert list(store.scan("rows")) == [(b"j", b"plain"), (b"k", WHOLE), (b"l", b"plain too")]
    with store.transaction() as rows:
        assert rows.read("rows", keys[:2]) == [b"plain", WHOLE]
        assert rows.read_one("rows", b"k") == WHOLE
        plain, head, none = rows.read_heads("rows", keys[:3])
        assert (plain, none) == (b"plain", None)
        assert isinstance(head, Head)
        assert rows.whole("rows", b"k", head) == WHOLE
    assert store.tables() == ["rows"]


def test_what_is_too_much_is_not_read(store, monkeypatch):
    put(store, value=Head((b"1", b"b" * 1_000, b"x")).moved())
    store.write("rows", [(b"j", b"plain")])
    whole = b"1" + b"b" * 1_000 + b"x"
    assert store.read_few("rows", [b"j", b"none", b"k"], 2_000) == [b"plain", None, whole]
    with pytest.raises(TooMuch):  # each would do
        store.read_few("rows", [b"j"] * 20, 100)
    monkeypatch.setattr(SealedRows, "_pieces", None)
    with pytest.raises(TooMuch):  # the head tells
        store.read_few("rows", [b"k"], 1_000)


def test_pieces_go_with_the_value(store, inner):
    put(store)
    assert len(pieces_in(inner)) == 2
    put(store, value=b"whole now")
    assert pieces_in(inner) == []
    for remove in (
        lambda rows: rows.delete("rows", [b"k"]),
        lambda rows: rows.overwrite("rows", [(b"k", b"whole now")]),
    ):
        put(store)
        put(store, b"other")
        with store.transaction() as rows:
            remove(rows)
        assert len(pieces_in(inner)) == 2
        assert store.read_one("rows", b"other") == WHOLE
    store.delete("rows", [b"other"])
    assert pieces_in(inner) == []
    put(store)
    store.drop("rows")
    assert store.tables() == []
    assert pieces_in(inner) == []


def test_of_two_pieces_made_one_the_old_are_gone(store, inner):
    put(store)
    with store.transaction() as rows:
        for _ in range(30):
            (head,) = rows.read_heads("rows", [b"k"])
            first, middle, last = head.moved().columns
            grown = head.moved().with_columns((first, b"c" + middle, last))
            rows.write_heads("rows", [(b"k", grown)], {b"k": head})
    assert store.read_one("rows", b"k") == b"2" + b"c" * 30 + b"abx"
    with store.transaction() as rows:
        (head,) = rows.read_heads("rows", [b"k"])
    assert len(pieces_in(inner)) == len(head.pieces) < 16


@pytest.mark.parametrize("newer", ["pieces", "whole", "removed"])
def test_a_read_that_a_write_overtakes_reads_anew(inner, monkeypatch, newer):
    store = sealed(inner)
    put(store)
    found = store._pieces
    value = {"pieces": Head((b"3", b"c", b"")).moved(), "whole": b"3", "removed": None}[newer]

    def overtaken(table, key, numbers):
        monkeypatch.setattr(store, "_pieces", found)
        if value is None:
            store.delete("rows", [key])
        else:
            put(store, value=value)
        return found(table, key, numbers)

    monkeypatch.setattr(store, "_pieces", overtaken)
    assert store.read_one("rows", b"k") == {"pieces": b"3c", "whole": b"3", "removed": None}[newer]


def test_damage_of_a_head_or_a_piece_is_never_a_value(inner):
    store = sealed(inner)
    put(store)
    for table in ("rows", table_of("rows")):
        (key, value), *_ = list(inner.scan(table))
        for damaged in (value[:-1], value[:5] + bytes([value[5] ^ 1]) + value[6:]):
            inner.write(table, [(key, damaged)])
            with pytest.raises(CorruptData):
                store.read("rows", [b"k"])
            with pytest.raises(CorruptData):
                list(store.scan("rows"))
            assert list(store.flaws())
        inner.write(table, [(key, value)])
    assert list(store.flaws()) == []
    inner.delete(table_of("rows"), [key])
    with pytest.raises(CorruptData, match="lacks one of them"):
        store.read_one("rows", b"k")
