"""SQL over what the store holds, held to what the store itself says."""

import json

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.testing.clock import SettableClock
from tests.cli.running import run_in
from tests.plugs.real import needs
from tests.shop import CARD, HOUR, NOON, pay, payments, spend_of

needs("duckdb")

from skewless.plugs.duckdb import connect  # noqa: E402


@pytest.fixture
def fs(tmp_path):
    pays = payments(row_id="pay_id")
    spend = spend_of(pays)
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON + 6 * HOUR)) as store:
        store.apply(store.plan(CARD, pays, spend, sl.FeatureService("fraud", [spend])))
        rows = [pay(f"p{n}", NOON + n * HOUR // 8, float(n), card=f"c{n % 3}") for n in range(40)]
        store.push("pays", rows, backdate=True)
        store.push("pays", [pay("p1", NOON + HOUR // 8, 100.0)])  # corrects
        store.delete("pays", ["p2"])
        yield store


def rows(connection, query, parameters=None):
    return [tuple(row.values()) for row in connection.sql(query, parameters).to_pylist()]


def test_a_source_is_the_rows_that_count(fs):
    with connect(fs) as connection:
        [(count, total)] = rows(connection, "SELECT count(*), sum(amount) FROM pays")
        assert (count, total) == (39, sum(range(40)) - 1 - 2 + 100.0)
        assert rows(connection, "SELECT pay_id FROM PAYS WHERE pay_id = ?", ["p2"]) == []


def test_a_view_now_is_what_is_served_now(fs):
    with connect(fs) as connection:
        found = rows(connection, "SELECT card_id, total_1h, city FROM Spend_now ORDER BY 1")
    served = fs.get_online_features("Spend", [{"card_id": card} for card, *_ in found])
    assert [row[0] for row in found] == ["c0", "c1", "c2"]
    assert [row[1] for row in found] == served["total_1h"]
    assert [row[2] for row in found] == served["city"]


def test_a_view_is_every_change_of_its_values(fs):
    with connect(fs) as connection:
        found = connection.sql('SELECT * FROM Spend ORDER BY card_id, "at"')
    expected = fs.read_features("Spend").sort_by([("card_id", "ascending"), ("at", "ascending")])
    assert found["at"].to_pylist() == expected["at"].to_pylist()
    assert found["mean_3"].to_pylist() == expected["mean_3"].to_pylist()


def test_what_the_ledger_and_the_monitor_say(fs):
    with connect(fs) as connection:
        assert rows(connection, "SELECT * FROM training_sets") == []
    spine = [{"card_id": "c1", "at": from_micros(NOON + HOUR)}]
    made = fs.get_historical_features(spine, "fraud", timestamp="at")
    with connect(fs) as connection:
        assert rows(connection, "SELECT id, rows FROM training_sets") == [(made.id, 1)]
        assert rows(connection, "SELECT view, status FROM freshness") == [("Spend", "ok")]
        assert ("apply",) in rows(connection, "SELECT DISTINCT job FROM runs")
        assert len(rows(connection, "SELECT * FROM training_sets")) == 1


def test_reading_by_sql_leaves_no_training_set_on_record(fs):
    with connect(fs) as connection:
        rows(connection, "SELECT * FROM Spend_now")
    assert fs.training_sets() == []


def test_what_names_need_quotes_is_found(fs):
    with connect(fs) as connection:
        found = rows(connection, 'SELECT max("at") FROM "pays" AS p')
    assert found == [(from_micros(NOON + 39 * HOUR // 8),)]


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE pays", "SELECT 1; SELECT 2", "INSERT INTO pays VALUES (1)", "SELEC 1", "",
        "COPY (SELECT 1) TO 'x.csv'", "ATTACH 'x.db'", "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT nothing FROM pays",
    ],
)  # fmt: skip
def test_only_queries_over_the_repo_are_answered(fs, query):
    with connect(fs) as connection, pytest.raises(sl.InputError):
        rows(connection, query)


def test_a_word_of_sql_is_said_to_need_quotes(fs):
    with connect(fs) as connection, pytest.raises(sl.InputError, match='quotes: "at"'):
        rows(connection, "SELECT card_id FROM Spend ORDER BY at")


def test_an_unknown_table_is_said(fs):
    with connect(fs) as connection, pytest.raises(sl.UnknownName, match="Did you mean 'pays'"):
        rows(connection, "SELECT * FROM payz")


def test_the_command_prints_json_and_a_file(fs, tmp_path):
    fs.close()
    query = "SELECT card_id, count(*) AS n FROM pays GROUP BY 1 ORDER BY 1"
    answered = run_in(tmp_path, "sql", query, "--json")
    assert json.loads(answered.stdout)[0] == {"card_id": "c0", "n": 14}
    assert "c0" in run_in(tmp_path, "sql", query).stdout
    assert run_in(tmp_path, "sql", query, "--out", "o.parquet").exit_code == 0
    import pyarrow.parquet as pq

    assert pq.read_table(tmp_path / "o.parquet")["n"].to_pylist() == [14, 13, 12]
