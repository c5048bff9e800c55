"""What a repo is worth: measured figures times assumptions, and where each comes from."""

import re
from pathlib import Path

import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

import skewless as sl
from skewless.errors import ConfigError
from skewless.value.assumptions import TEMPLATE, Assumptions
from skewless.value.measures import measures
from skewless.value.report import report_of
from tests.cli.running import data_of, ran, run_in
from tests.leakage.loans import rows_of, spine_of, table_of

ASSUMED = """
currency = "EUR"
[people]
cost_of_an_hour = 80
hours_for_a_feature = 10
hours_for_a_training_set = 4
[serving]
vectors_a_year = 3_600_000_000
milliseconds_before = 20
cost_of_a_machine_hour = 0.5
[errors]
a_year_for_a_point_of_auc = 1000
"""
ROWS = rows_of(400)
client = sl.Entity("client", client=str)
loans = sl.Source(
    "loans",
    schema={"client": str, "debt": float, "lost": float},
    event_time="at",
    known_time="seen",
    table=sl.Parquet("loans.parquet"),
)
view = sl.FeatureView(
    "Client",
    entity=client,
    source=loans,
    features={"debt_now": loans.debt.latest(), "losses": loans.lost.sum("2d")},
)


@pytest.fixture(scope="module")
def repo(tmp_path_factory) -> Path:
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("loans")
    pq.write_table(table_of(ROWS), folder / "loans.parquet")
    (folder / "value.toml").write_text(ASSUMED)
    with sl.FeatureStore(folder) as fs:
        two = [sl.FeatureService(name, [view.debt_now, view.losses]) for name in ("a", "b")]
        fs.apply([view, *two, sl.FeatureService("c", [view.debt_now])])
        for rows in (10, 20, 30, 30):  # the last one is the third once more
            fs.get_historical_features(spine_of(ROWS[:rows]), "a", timestamp="at")
        fs.backtest(
            spine_of(ROWS), "a", timestamp="at", label="defaulted",
            model=HistGradientBoostingClassifier(max_iter=5),
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def report(repo):
    with sl.FeatureStore(repo) as fs:
        return report_of(measures(fs), Assumptions.read(repo / "value.toml"))


def line(report, what):
    return next(each for each in report.lines if what in each.what)


def test_reuse_is_what_the_registry_says(report):
    found = line(report, "not built again")
    assert found.money == 3 * 10 * 80  # debt_now by two more services, losses by one
    assert "reuses 3: measured by the registry, revision 1: 3 services" in found.sources
    assert "people.cost_of_an_hour 80: assumed in value.toml" in found.sources


def test_training_sets_are_those_of_the_ledger(report):
    assert line(report, "training sets").money == 3 * 4 * 80


def test_errors_avoided_are_those_of_the_newest_backtest(repo, report):
    with sl.FeatureStore(repo) as fs:
        (record,) = fs.runtime.ledger.records(kinds=["backtest"])
    served = {score["kind"]: score["served"]["AUC"] for score in record.data["scores"]}
    gain = served["known"] - served["naive-latest"]
    found = line(report, "point-in-time")
    assert found.money == pytest.approx(gain * 100 * 1000)
    assert any("measured by backtests: defaulted" in source for source in found.sources)


def test_machine_time_is_what_is_saved_against_before(report):
    measured = {measure.name: measure.value for measure in report.measured}
    found = line(report, "machine time")
    assert 0 < measured["vector_ms"] < 1000
    assert found.money == pytest.approx(1000 * 0.5 * (20 - measured["vector_ms"]))
    assert any("measured now:" in source for source in found.sources)


def test_the_total_is_the_sum_of_its_lines(report):
    assert report.total == pytest.approx(sum(each.money for each in report.lines))
    assert all(source for each in report.lines for source in each.sources)


def test_a_line_that_lacks_a_figure_is_not_counted(repo, tmp_path):
    (tmp_path / "value.toml").write_text("[people]\ncost_of_an_hour = 80\n")
    with sl.FeatureStore(repo) as fs:
        report = report_of(measures(fs), Assumptions.read(tmp_path / "value.toml"))
    assert report.total == 0
    found = line(report, "not built again")
    assert found.money is None
    assert found.missing == ("people.hours_for_a_feature (value.toml)",)
    assert "not counted  features that were not built again" in str(report)


def test_an_empty_repo_says_what_was_not_measured(tmp_path):
    (tmp_path / "value.toml").write_text(ASSUMED)
    with sl.FeatureStore(tmp_path) as fs:
        report = report_of(measures(fs), Assumptions.read(tmp_path / "value.toml"))
    assert report.total == 0
    assert "no backtest ran" in line(report, "point-in-time").missing[0]
    assert "no entity is known" in line(report, "machine time").missing[0]


def test_the_template_assumes_nothing(tmp_path):
    (tmp_path / "value.toml").write_text(TEMPLATE)
    assert Assumptions.read(tmp_path / "value.toml").figures == {}
    filled = re.sub(r"^# (\w+) =", r"\1 = 1  #", TEMPLATE, flags=re.MULTILINE)
    (tmp_path / "value.toml").write_text(filled)
    assert len(Assumptions.read(tmp_path / "value.toml").figures) == 7


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[people]\ncost = 1\n", "cost"),
        ("[nothing]\n", "nothing"),
        ("people = 1\n", "a section"),
        ("[people]\ncost_of_an_hour = -1\n", "from 0 on"),
        ("[people]\ncost_of_an_hour = true\n", "from 0 on"),
        ("currency = 1\n", "a text"),
        ("[people", "cannot be read"),
    ],
)
def test_assumptions_that_cannot_be_are_named(tmp_path, text, problem):
    (tmp_path / "value.toml").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        Assumptions.read(tmp_path / "value.toml")


def test_the_command_tells_text_json_and_a_page(repo):
    found = data_of(run_in(repo, "value", "--json", "--html", "value.html"))
    assert found["total"] == pytest.approx(sum(each["money"] for each in found["lines"]))
    page = (repo / "value.html").read_text()
    assert "assumed in value.toml" in page
    assert "measured by the registry" in page
    assert "Measured" in ran(run_in(repo, "value")).stdout
    assert ran(run_in(repo, "value", "--template")).stdout.strip() == TEMPLATE.strip()


def test_without_assumptions_the_way_to_them_is_told(tmp_path):
    (tmp_path / "skewless.toml").touch()
    told = run_in(tmp_path, "value")
    assert told.exit_code != 0
    assert "skewless value --template > value.toml" in told.output
