"""Bad input: a clear error or a reason in quarantine, and nothing lost."""

import math
import multiprocessing
import resource
import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import from_micros, to_micros
from skewless.codec import row_text
from skewless.errors import (
    CorruptData,
    InputError,
    MissingColumn,
    RegistryError,
    StoreError,
    UnknownName,
)
from tests.shop import (
    CARD,
    HOUR,
    MINUTE,
    NOON,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    rows_of,
    spend_of,
    write_part,
)

ALL = cards("c1", "c2")
MIB = 1 << 20


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


@pytest.fixture
def fs(folder):
    with open_store(folder, spend_of(payments(row_id="pay_id"))) as fs:
        yield fs


def reasons(result):
    return [(rejected.row, rejected.reason) for rejected in result.quarantined]


class Stubborn:
    """A number that refuses to be one."""

    def __float__(self):
        raise ZeroDivisionError("no")

    def __index__(self):
        raise ZeroDivisionError("no")

    def __repr__(self):
        return "Stubborn()"


# ------------------------------------------------------------------------------ rows set aside


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": "lots"}, "amount: 'lots' (str) is no Float64"),
        ({"amount": True}, "amount: True (bool) is no Float64"),
        ({"amount": 10**400}, "amount: "),
        ({"amount": np.array([1.0, 2.0])}, "amount: "),
        ({"amount": Stubborn()}, "amount: Stubborn() (Stubborn) is no Float64"),
        ({"amount": 1j}, "amount: 1j (complex) is no Float64"),
        ({"n": 1.5}, "n: 1.5 (float) is no Int64"),
        ({"n": 2**63}, "n: 9223372036854775808 is outside the range of Int64"),
        ({"n": Stubborn()}, "n: Stubborn() is no Int64: no"),
        ({"city": 7}, "city: 7 (int) is no String"),
        ({"city": b"Bonn"}, "city: b'Bonn' (bytes) is no String"),
        ({"city": "\ud800"}, "city: '\\ud800' is not valid Unicode text"),
        ({"at": datetime(2026, 1, 2, 11, 0)}, "at: a time without a time zone"),
        ({"at": "2026-01-02T11:00:00"}, "at: a time without a time zone"),
        ({"at": "yesterday"}, "at: not a time"),
        ({"at": 5}, "at: 5 (int) is no Timestamp"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at: "),
        ({"at": None}, "at is null"),
        ({"pay_id": None}, "pay_id is null"),
        ({"at": from_micros(NOON + 5 * MINUTE + 1)}, "at lies in the future"),
    ],
)
def test_bad_row_is_set_aside_with_its_reason_and_the_others_go_in(fs, change, reason):
    rows = [pay("a", NOON), pay("bad", NOON) | change, pay("b", NOON)]
    result = fs.push("pays", rows)
    assert result.accepted == 2
    ((place, said),) = reasons(result)
    assert place == 1
    assert said.startswith(reason)
    (kept,) = fs.quarantine("pays")
    assert (kept.at, kept.reason, kept.values) == (NOON, said, row_text(rows[1]))
    assert fs.get_online_features(["Spend:count_1d"], cards("c1")).values == [[2]]
    check_parity(fs, spend_of(payments(row_id="pay_id")), ALL)


def all_refused(fs, rows):
    """What became of rows of which none came in."""
    with pytest.raises(sl.RowsRefused) as refused:
        fs.push("pays", rows)
    assert refused.value.result.accepted == 0
    return refused.value.result


def test_push_that_lost_everything_raises_and_says_why(fs):
    rows = [pay("a", NOON) | {"at": "2026-01-02T12:00:00"}, pay("b", NOON, amount="much")]
    with pytest.raises(sl.RowsRefused) as refused:
        fs.push("pays", rows)
    assert "no row came in: 2 of 2 are quarantined" in str(refused.value)
    assert "time zone" in str(refused.value)
    assert "1 other reasons" in str(refused.value)
    assert len(fs.quarantine("pays")) == 2


@pytest.mark.parametrize("row", [None, 5, "text", ["a", "b"], [("pay_id", "a")]])
def test_row_that_is_no_mapping_is_set_aside(fs, row):
    result = fs.push("pays", [row, pay("a", NOON)])
    assert result.accepted == 1
    assert reasons(result) == [(0, f"a row is a mapping of columns, not {type(row).__name__}")]


def test_null_id_that_only_shows_when_it_is_typed_is_set_aside(folder):
    source = sl.Source("pays", schema={"card_id": str, "id": float}, event_time="at", row_id="id")
    view = sl.FeatureView("Spend", entity=CARD, source=source, features={"n": source.count("1h")})
    with open_store(folder, view) as fs:
        result = all_refused(fs, [{"card_id": "c1", "id": math.nan, "at": from_micros(NOON)}])
        assert reasons(result) == [(0, "id is null")]


def test_row_at_the_edge_of_the_tolerated_future_goes_in(fs):
    assert fs.push("pays", [pay("a", NOON + 5 * MINUTE)]).accepted == 1


def test_known_time_in_the_future_is_set_aside(folder):
    with open_store(folder, spend_of(payments(known_time="seen"))) as fs:
        row = pay("a", NOON, seen=from_micros(NOON + HOUR))
        ((_, reason),) = reasons(all_refused(fs, [row]))
        assert reason.startswith(
            "seen lies in the future: 2026-01-02T13:00:00Z, after 2026-01-02T12:05"
        )


@pytest.mark.parametrize("kind", ["arrow", "polars", "pandas"])
def test_frame_with_a_bad_row_loses_that_row_alone(fs, kind):
    ahead = pay("bad", NOON + HOUR)
    table = pa.Table.from_pylist([pay("a", NOON), ahead, pay("b", NOON)])
    frame = {"arrow": lambda: table, "pandas": table.to_pandas}
    frame["polars"] = lambda: pytest.importorskip("polars").from_arrow(table)
    result = fs.push("pays", frame[kind]())
    assert result.accepted == 2
    assert [row for row, _ in reasons(result)] == [1]


def test_frame_whose_times_have_no_zone_goes_to_quarantine_whole(fs):
    table = pa.Table.from_pylist([pay("a", NOON), pay("b", NOON)])
    at = table.column_names.index("at")
    naive = table.set_column(at, "at", table["at"].cast(pa.timestamp("us")))
    result = all_refused(fs, naive)
    assert result.accepted == 0
    assert ["time zone" in reason for _, reason in reasons(result)] == [True, True]


def test_a_text_without_a_zone_in_a_frame_goes_alone(fs):
    """Whole columns are typed at once: of texts, each says for itself whether it has a zone."""
    times = ["2026-01-02T12:00:00Z", "2026-01-02T12:00:00", "2026-01-02T13:00:00+01:00"]
    result = fs.push("pays", pa.table({"pay_id": ["a", "b", "c"], "at": times}))
    assert [(row, said[:27]) for row, said in reasons(result)] == [
        (1, "at: a time without a time z")
    ]
    assert result.accepted == 2


def test_column_of_a_frame_that_has_another_type_is_told_row_by_row(fs):
    table = pa.table({"pay_id": ["a", "b"], "card_id": ["c1", "c1"], "amount": ["1.5", "x"],
                      "at": pa.array([NOON, NOON], pa.timestamp("us", "UTC"))})  # fmt: skip
    result = all_refused(fs, table)
    assert [reason for _, reason in reasons(result)] == [
        "amount: '1.5' (str) is no Float64", "amount: 'x' (str) is no Float64",
    ]  # fmt: skip


def test_long_rows_and_strange_texts_are_kept_readably(fs):
    all_refused(fs, [pay("a", NOON, city="\ud800" + "x" * 5000)])
    (kept,) = fs.quarantine("pays")
    assert len(kept.values) == 2000
    assert len(kept.reason) < 3000
    assert "not valid Unicode" in kept.reason


# ----------------------------------------------------------------------- pushes refused as a whole


def refused(fs, error, text, rows):
    with pytest.raises(error, match=text):
        fs.push("pays", rows)
    assert rows_of(fs, "pays") == []
    assert fs.quarantine("pays") == []


def test_unknown_column_is_refused_with_the_closest(fs):
    said = "source 'pays' has no column 'amout'.*Did you mean 'amount'"
    misspelt = {"amout" if name == "amount" else name: v for name, v in pay("b", NOON).items()}
    refused(fs, UnknownName, said, [misspelt])
    refused(fs, UnknownName, said, [None, misspelt, misspelt])
    refused(fs, UnknownName, said, pa.table({"amout": [1.0]}))


@pytest.mark.parametrize("make", [list, pa.Table.from_pylist])
def test_field_that_the_source_does_not_have_is_left_out_and_named(fs, make):
    rows = [pay("a", NOON), pay("b", NOON) | {"coupon": 1.0}]
    result = fs.push("pays", make([rows[1], rows[0]]))
    assert (result.accepted, result.ignored, result.quarantined) == (2, ("coupon",), ())
    assert [row.values["pay_id"] for row in rows_of(fs, "pays")] == ["b", "a"]


def test_row_whose_column_is_misspelt_is_set_aside_alone(fs):
    misspelt = {"amout" if name == "amount" else name: v for name, v in pay("b", NOON).items()}
    result = fs.push("pays", [pay("a", NOON), misspelt])
    assert (result.accepted, result.ignored) == (1, ("amout",))
    assert [row.reason for row in result.quarantined] == [
        "amout is no column; did you mean amount?"
    ]


def test_column_that_is_not_text_is_unknown(fs):
    refused(fs, UnknownName, "has no column '5'", [{5: 1}])


@pytest.mark.parametrize("missing", ["at", "pay_id"])
def test_column_that_every_row_needs_is_missed(fs, missing):
    row = pay("a", NOON)
    del row[missing]
    refused(fs, MissingColumn, f"lacks the column {missing!r}", [row])
    refused(fs, MissingColumn, f"lacks the column {missing!r}", pa.Table.from_pylist([row]))


@pytest.mark.parametrize("rows", [5, object(), 2.5])
def test_what_is_no_rows_is_refused(fs, rows):
    refused(fs, InputError, "not a table", rows)


def test_missing_and_damaged_files_of_rows_are_named(fs, folder):
    (folder / "rows.parquet").write_bytes(b"PAR1 but not really")
    refused(fs, StoreError, "no/such.parquet", "no/such.parquet")
    refused(fs, CorruptData, "rows.parquet", str(folder / "rows.parquet"))


# --------------------------------------------------------------------------- tables that go bad


@pytest.fixture
def tabled(folder):
    source = payments(table=sl.Parquet("pays"))
    rows = [pay("a", NOON - MINUTE, 2.0), pay("b", NOON - 2 * MINUTE, 3.0, card="c2")]
    write_part(folder / "pays/a.parquet", rows)
    with open_store(folder, spend_of(source)) as fs:
        fs.materialize()
        yield fs


def goes_bad(fs, error, text):
    """Both paths say so; what was served is served."""
    spine = [{"card_id": "c1", "t": from_micros(NOON)}]
    before = fs.get_online_features("Spend", ALL).values
    with pytest.raises(error, match=text):
        fs.materialize()
    with pytest.raises(error, match=text):
        fs.get_historical_features(spine, "Spend", timestamp="t")
    assert fs.get_online_features("Spend", ALL).values == before
    assert fs.push("pays", [pay("p", NOON - MINUTE, 5.0)]).accepted == 1
    found = fs.get_online_features(["Spend:total_1h"], cards("c1")).values
    assert found == [[7.0]]


def test_table_whose_column_has_another_type_now_is_an_error(tabled, folder):
    write_part(folder / "pays/b.parquet", [pay("c", NOON)], amount=pa.array(["2.5"]))
    goes_bad(tabled, InputError, "no Float64.*such as '2.5'.*'amount' of file.*b.parquet")


def test_column_that_a_file_of_the_table_lacks_is_null_there_and_said(tabled, folder):
    write_part(folder / "pays/b.parquet", [pay("c", NOON)], amount=None)
    spine = [{"card_id": "c1", "t": from_micros(NOON)}]
    trained = tabled.get_historical_features(spine, "Spend", timestamp="t")
    assert trained.to_dict()["total_1h"] == [2.0]
    assert any("'amount'" in note and "b.parquet" in note for note in trained.notes)
    tabled.materialize()
    check_parity(tabled, spend_of(payments(table=sl.Parquet("pays"))), ALL)


def test_file_of_the_table_without_times_is_an_error(tabled, folder):
    write_part(folder / "pays/b.parquet", [pay("c", NOON)], at=None)
    goes_bad(tabled, MissingColumn, "b.parquet.* lacks the column 'at'")


def test_table_whose_times_lost_their_zone_is_an_error(tabled, folder):
    naive = pa.array([NOON], pa.timestamp("us"))
    write_part(folder / "pays/a.parquet", [pay("a", NOON)], at=naive)
    goes_bad(tabled, InputError, "without a time zone")


def test_table_with_a_column_more_is_read_on(tabled, folder):
    write_part(folder / "pays/b.parquet", [pay("c", NOON - MINUTE, 4.0, shop="new")])
    tabled.materialize()
    check_parity(tabled, spend_of(payments(table=sl.Parquet("pays"))), ALL)


def test_damaged_file_is_named(tabled, folder):
    whole = (folder / "pays/a.parquet").read_bytes()
    (folder / "pays/b.parquet").write_bytes(whole[: len(whole) // 2])
    goes_bad(tabled, CorruptData, "b.parquet")


def test_file_with_damaged_pages_is_an_error_or_reads_right(tabled, folder, seed):
    """Flipped bytes anywhere: an error that names the file, or the very rows; never others."""
    import random

    path = folder / "pays/a.parquet"
    whole, chance = path.read_bytes(), random.Random(seed)
    spine = [{"card_id": card, "t": from_micros(NOON)} for card in ("c1", "c2")]
    build = lambda: tabled.get_historical_features(spine, "Spend", timestamp="t")  # noqa: E731
    expected = build().to_dict()
    errors = 0
    for _ in range(12):
        damaged = bytearray(whole)
        at = chance.randrange(4, len(whole) - 8)
        damaged[at : at + 8] = bytes(byte ^ 0xFF for byte in damaged[at : at + 8])
        path.write_bytes(damaged)
        try:
            build()
        except sl.SkewlessError as error:
            errors += 1
            assert "a.parquet" in str(error) or "pays" in str(error)
    assert errors
    path.write_bytes(whole)
    assert build().to_dict() == expected


def test_folder_of_the_table_that_is_gone_is_an_error(tabled, folder):
    (folder / "pays/a.parquet").unlink()
    goes_bad(tabled, StoreError, "no Parquet files at 'pays'")


def test_rows_without_event_time_are_left_out_and_counted(folder):
    source = payments(table=sl.Parquet("pays"))
    at = pa.array([NOON - MINUTE, None], pa.timestamp("us", "UTC"))
    write_part(folder / "pays/a.parquet", [pay("a", NOON), pay("b", NOON)], at=at)
    with open_store(folder, spend_of(source)) as fs:
        fs.materialize()
        check_parity(fs, spend_of(source), ALL)
        spine = [{"card_id": "c1", "t": from_micros(NOON)}]
        found = fs.get_historical_features(spine, "Spend", timestamp="t")
        assert "1 rows of source 'pays' have no event time and were left out." in found.notes


# ---------------------------------------------------------------------------- registry and disk


def test_registry_of_a_newer_release_refuses_every_verb_and_loses_nothing(folder):
    with open_store(folder, spend_of(payments())) as fs:
        fs.push("pays", [pay("a", NOON)])
        path = folder / ".skewless/registry.db"
        format_of = "UPDATE facts SET value = value {} 1 WHERE name = 'format'"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(format_of.format("+"))
        spine = [{"card_id": "c1", "t": from_micros(NOON)}]
        with sl.FeatureStore(folder, clock=fs.runtime.clock) as older:
            for verb in (
                lambda: older.push("pays", [pay("b", NOON)]),
                lambda: older.get_online_features("Spend", ALL),
                lambda: older.get_historical_features(spine, "Spend", timestamp="t"),
                older.materialize,
                older.compact,
                lambda: older.plan(spend_of(payments())),
            ):
                with pytest.raises(RegistryError, match="another release.*Upgrade skewless"):
                    verb()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(format_of.format("-"))
        with sl.FeatureStore(folder, clock=fs.runtime.clock) as again:
            check_parity(again, spend_of(payments()), ALL)
            assert [row.values["pay_id"] for row in rows_of(again, "pays")] == ["a"]


SPAWN = multiprocessing.get_context("spawn")


def fill_the_disk(folder, kind, report):
    """Push until the files may grow no more, then go on; report what was kept and served."""
    source = payments(row_id="pay_id")
    settings = {"online": {"kind": kind}}
    with open_store(folder, spend_of(source), **settings) as fs:
        fs.push("pays", [pay("first", NOON)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))
        kept, error = 1, None
        for number in range(200):
            rows = [pay(f"{number}-{n}", NOON, city="x" * 2000) for n in range(20)]
            try:
                fs.push("pays", rows)
            except StoreError as problem:
                error = str(problem)
                break
            kept += len(rows)
        report.send((kept, error))
        report.send(fs.get_online_features(["Spend:count_1d"], cards("c1")).values[0][0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        fs.push("pays", [pay("last", NOON)])
        check_parity(fs, spend_of(source), ALL)
        report.send(len(rows_of(fs, "pays")))


@pytest.mark.parametrize("kind", ["lmdb", "sqlite"])
def test_full_disk_refuses_the_push_whole_and_keeps_serving(folder, kind):
    ours, theirs = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=fill_the_disk, args=(folder, kind, theirs))
    child.start()
    theirs.close()
    kept, error = ours.recv()
    assert error is not None
    assert ours.recv() == kept
    assert ours.recv() == kept + 1
    child.join()


# -------------------------------------------------------------------------------------- spines


def build(fs, spine, timestamp="t", **options):
    return fs.get_historical_features(spine, "Spend", timestamp=timestamp, **options)


@pytest.mark.parametrize(
    ("spine", "error", "text"),
    [
        ([{"card": "c1", "t": "2026-01-02T12:00:00Z"}], MissingColumn, "lacks the column 'card_id'"),
        ([{"card_id": "c1"}], MissingColumn, "the spine lacks the column 't'"),
        ([], MissingColumn, "the spine lacks the column 't'"),
        ([{"card_id": "c1", "t": datetime(2026, 1, 2)}], InputError, "without a time zone"),
        ([{"card_id": "c1", "t": "2026-01-02T12:00:00"}], InputError, "without a time zone"),
        ([{"card_id": "c1", "t": "noon"}], InputError, "noon.* column 't'"),
        ([{"card_id": "c1", "t": None}], InputError, "a spine row without a time"),
        ([{"card_id": "c1", "t": 5}], InputError, "numbers where the times of a spine.*int64"),
        ([{"card_id": 5, "t": "2026-01-02T12:00:00Z"}], InputError, "no String.* such as 5.*card_id"),
        ([{"card_id": "c1", "t": "2026-01-02T12:00:00Z", "city": "x"}], InputError, "already has"),
        ([{"card_id": "c1", "t": "2026-01-02T12:00:00Z"}, {"card_id": 5}], InputError, "mixes types"),
        ([["c1", "2026-01-02T12:00:00Z"]], InputError, "not a table"),
        ([None], InputError, "not a table"),
        ({"card_id": ["c1"]}, MissingColumn, "lacks the column 't'"),
        ({"card_id": "c1", "t": "noon"}, InputError, "not a column of values"),
        (5, InputError, "not a table"),
        ("no/such.parquet", StoreError, "no/such.parquet"),
    ],
)  # fmt: skip
def test_wrong_spine_is_an_error_that_says_why(fs, spine, error, text):
    with pytest.raises(error, match=text):
        build(fs, spine)


def test_naive_spine_of_every_frame_is_refused(fs):
    naive = pa.table({"card_id": ["c1"], "t": pa.array([NOON], pa.timestamp("us"))})
    for frame in (naive, naive.to_pandas(), pytest.importorskip("polars").from_arrow(naive)):
        with pytest.raises(InputError, match="without a time zone"):
            build(fs, frame)


def test_damaged_spine_file_is_named(fs, folder):
    (folder / "spine.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(CorruptData, match=r"spine\.parquet"):
        build(fs, folder / "spine.parquet")


def test_as_of_something_else_is_an_error(fs):
    spine = [{"card_id": "c1", "t": from_micros(NOON)}]
    with pytest.raises(InputError, match="'known' or 'event_time'"):
        build(fs, spine, as_of="yesterday")


@pytest.mark.parametrize(
    ("features", "error", "text"),
    [
        ([], InputError, "no features are asked for"),
        ("Spent", UnknownName, "has no view or service 'Spent'"),
        (["Spent:city"], UnknownName, "no view 'Spent'"),
        (["Spend:town"], UnknownName, "no feature 'town'"),
        (["Spend@v7:city"], UnknownName, "no version 'v7'"),
        (["Spend:city", "Spend:city"], InputError, "a feature asked for twice"),
        (["Spend@vx:city"], sl.DefinitionError, "not a reference"),
    ],
)
def test_wrong_features_are_an_error_on_both_paths(fs, features, error, text):
    spine = [{"card_id": "c1", "t": from_micros(NOON)}]
    with pytest.raises(error, match=text):
        fs.get_historical_features(spine, features, timestamp="t")
    with pytest.raises(error, match=text):
        fs.get_online_features(features, ALL)


@pytest.mark.parametrize(
    "entities", [[{"card": "c1"}], [{"card_id": 5}], [{"card_id": None}], [5], "c1"]
)
def test_wrong_entities_of_read_features_are_an_error(fs, entities):
    fs.push("pays", [pay("a", NOON)])
    with pytest.raises(InputError):
        fs.read_features("Spend", entities=entities)


def test_moments_that_are_none_are_an_error(fs):
    for verb in (
        lambda: fs.get_online_features("Spend", ALL, at="noon"),
        lambda: fs.get_online_features("Spend", ALL, at=datetime(2026, 1, 2)),
        lambda: fs.materialize(start=datetime(2026, 1, 2)),
        lambda: fs.materialize(end=2.5),
        lambda: fs.read_features("Spend", start="2026-01-02"),
    ):
        with pytest.raises(InputError):
            verb()


def test_float_of_a_decimal_column_is_refused_but_numbers_that_fit_are_not(folder):
    source = sl.Source("pays", schema={"card_id": str, "price": sl.Decimal(9, 2)}, event_time="at")
    view = sl.FeatureView(
        "Spend", entity=CARD, source=source, features={"price": source.price.latest()}
    )
    with open_store(folder, view) as fs:
        given = [1.5, "1.505", Decimal("NaN"), Decimal("1e999999"), "x", "1.5", 2]
        rows = [
            {"card_id": "c1", "price": p, "at": from_micros(NOON - 9 + n)}
            for n, p in enumerate(given)
        ]
        result = fs.push("pays", rows)
        assert [row for row, _ in reasons(result)] == [0, 1, 2, 3, 4]
        assert fs.get_online_features("Spend", cards("c1")).values == [[Decimal("2.00")]]


def test_times_are_read_the_same_whatever_form_they_have():
    assert to_micros("2026-01-02T12:00:00Z") == to_micros("2026-01-02T17:30:00+05:30") == NOON


# ---------------------------------------------------------------------- frames, column by column


def test_a_bad_value_does_not_take_the_good_rows_of_other_columns_with_it(fs):
    """pandas has whole numbers with nulls as floats: they stay whole numbers beside a bad row."""
    table = pa.Table.from_pylist([pay("a", NOON), pay("b", NOON), pay("c", NOON), pay("d", NOON)])
    numbers = table.column_names.index("n")
    floats = table.set_column(numbers, "n", pa.array([1.0, 2.5, None, 3.0]))
    result = fs.push("pays", floats)
    assert [row for row, _ in reasons(result)] == [1]
    assert "n: " in result.quarantined[0].reason
    assert "2.5" in result.quarantined[0].reason
    assert '"pay_id": "b"' in result.quarantined[0].values
    assert fs.get_online_features(["Spend:sum_n"], cards("c1")).values == [[4]]


def test_values_that_python_cannot_hold_are_set_aside_and_shown_by_their_type(fs):
    table = pa.Table.from_pylist([pay("a", NOON), pay("b", NOON)])
    far = pa.array([2**61, NOON], pa.timestamp("us", "UTC"))
    result = fs.push("pays", table.set_column(table.column_names.index("at"), "at", far))
    ((row, reason),) = reasons(result)
    assert (row, "years 1 to 9999" in reason) == (0, True)
    assert "timestamp" in result.quarantined[0].values


def test_mappings_in_a_pandas_frame_are_read_by_the_declared_type_and_not_made_alike(folder):
    pd = pytest.importorskip("pandas")
    schema = {"k": int, "data": sl.Json, "counts": sl.Map(int), "point": sl.Struct({"x": int})}
    source = sl.Source("s", schema=schema, event_time="at")
    features = {name: source[name].latest() for name in ("data", "counts", "point")}
    view = sl.FeatureView("V", entity=sl.Entity("e", k=int), source=source, features=features)
    frame = pd.DataFrame({"k": [1, 2, 3], "at": [from_micros(NOON)] * 3})
    frame["data"] = [{"a": 1}, {"b": 2.5}, {3: 4}]
    frame["counts"] = [{"a": 1}, {}, {"b": 1}]
    frame["point"] = [{"x": 1}, float("nan"), {"x": 2}]
    with open_store(folder, view) as fs:
        result = fs.push("s", frame)
        ((row, reason),) = reasons(result)
        assert (row, reason.startswith("data: {3: 4} (dict) is no Json")) == (2, True)
        assert fs.get_online_features("V", [{"k": 1}, {"k": 2}]).to_rows() == [
            {"data": '{"a":1}', "counts": {"a": 1}, "point": {"x": 1}},
            {"data": '{"b":2.5}', "counts": {}, "point": None},
        ]
