"""The lineage of a repo: up to columns, down to services, training sets and models."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import UnknownName
from skewless.lineage.columns import Node
from tests.cli.running import data_of, ran, run_in
from tests.shop import CARD, HOUR, NOON, open_store, pay, payments, spend_of

PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS, total=PAYS.amount.sum("1h"), big=PAYS.where(PAYS.n > 5).count("1d"))
CHANGED = spend_of(PAYS, total=(PAYS.n * 0.5).sum("1h"), big=PAYS.where(PAYS.n > 5).count("1d"))
RATIO = sl.OnDemandView("Ratio", features={"ratio": sl.Request("ask", float) / SPEND.total})
SERVICE = sl.FeatureService("fraud", [SPEND.total, RATIO.ratio])


@pytest.fixture
def fs(tmp_path: Path) -> sl.FeatureStore:
    fs = open_store(tmp_path / "shop", SPEND, RATIO, SERVICE)
    fs.push("pays", [pay("p1", NOON - HOUR)], backdate=True)
    return fs


def trained(fs: sl.FeatureStore) -> sl.TrainingSet:
    spine = [{"card_id": "c1", "ask": 2.0, "t": from_micros(NOON)}]
    return fs.get_historical_features(spine, "fraud", timestamp="t")


def test_from_a_column_to_the_model_that_was_trained_on_it(fs: sl.FeatureStore) -> None:
    made = trained(fs)
    fs.log_model("fraud@3", made, uri="models/3")
    found = fs.lineage("pays.amount", up=0, down=9)
    assert found.of_kind("feature") == ["Spend@v1:total", "Ratio@v1:ratio"]
    assert found.of_kind("service") == ["fraud"]
    assert found.of_kind("training set") == [made.id]
    assert found.of_kind("model") == ["fraud@3"]
    assert fs.lineage("pays.n", up=0, down=9).of_kind("model") == []


def test_from_a_model_to_the_columns(fs: sl.FeatureStore) -> None:
    fs.log_model("fraud@3", [trained(fs).id])
    found = fs.lineage("fraud@3", up=9, down=0)
    columns = ["pays.amount", "pays.at", "pays.card_id", "pays.pay_id"]
    assert sorted(found.of_kind("column")) == columns
    assert found.of_kind("request") == ["ask"]


def test_a_step_is_a_step(fs: sl.FeatureStore) -> None:
    found = fs.lineage("Spend:total", up=1, down=1)
    assert found.nodes[Node("feature", "Spend@v1:total")] == 0
    assert {node.name for node, at in found.nodes.items() if at == -1} == {
        "pays.amount", "pays.at", "pays.card_id", "pays.pay_id",
    }  # fmt: skip
    assert {node.name for node, at in found.nodes.items() if at == 1} == {"Ratio@v1:ratio", "fraud"}
    assert fs.lineage("Spend:total", up=0, down=0).edges == ()


def test_every_version_has_its_own(fs: sl.FeatureStore) -> None:
    fs.apply(fs.plan(CHANGED))
    assert "pays.n" in fs.lineage("Spend:total", down=0).of_kind("column")
    assert "pays.n" not in fs.lineage("Spend@v1:total", down=0).of_kind("column")
    assert fs.lineage("Spend@v1:total", up=0).of_kind("service") == ["fraud"]
    assert fs.lineage("Spend@v2:total", up=0, down=1).of_kind("service") == []


def test_it_prints(fs: sl.FeatureStore) -> None:
    assert str(fs.lineage("Spend:big", up=1, down=1)).splitlines() == [
        "Spend:big",
        "  comes from",
        "    column       pays.n  filter ((pays.n > 5))",
        "    column       pays.at  window (sliding 1d)",
        "    column       pays.card_id  join (card)",
        "    column       pays.pay_id  filter (row id: corrections)",
    ]


def test_it_is_drawn_with_every_node_and_edge(fs: sl.FeatureStore) -> None:
    trained(fs)
    found = fs.lineage("pays", up=1, down=9)
    root = ElementTree.fromstring(found.to_svg())
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}g")) == len(found.nodes)
    assert len(root.findall(f"{space}path")) == len(found.edges)
    assert root.find(f".//{space}script") is None


def test_names_in_a_drawing_are_escaped() -> None:
    from skewless.lineage.graph import Lineage

    text = Lineage("<script>", {Node("model", "<b>&'\""): 0}).to_svg()
    assert "<script>" not in text
    ElementTree.fromstring(text)


@pytest.mark.parametrize("name", ["nobody", "pays.amont", "Spend:totl", "Spend@v9:total"])
def test_an_unknown_name_is_an_error(fs: sl.FeatureStore, name: str) -> None:
    with pytest.raises(UnknownName):
        fs.lineage(name)


def test_a_plan_says_what_was_made_of_what_it_changes(fs: sl.FeatureStore) -> None:
    (before,) = fs.plan(CHANGED).notes
    made = trained(fs)
    fs.log_model("fraud@3", made)
    note = f"feature view Spend: 1 training set made of it, the newest {made.id}"
    notes = fs.plan(CHANGED).notes
    assert notes[:2] == (before, f"{note}; trained on these: fraud@3")
    assert "on-demand view Ratio: 1 training set" in notes[2]
    assert fs.plan(SPEND).notes == ()


def test_of_a_thousand_features_one_step_is_small(tmp_path: Path) -> None:
    views = [
        sl.FeatureView(
            f"View{number}",
            entity=CARD,
            source=PAYS,
            features={
                f"f{at}": PAYS.where(PAYS.n > at).amount.sum(f"{at + 1}h") for at in range(50)
            },
        )
        for number in range(20)
    ]
    fs = open_store(tmp_path / "wide", *views, sl.FeatureService("all", views[:1]))
    fs.lineage("View1:f1")
    graph = fs._lineage.graph(fs.runtime.state())
    assert len(graph.nodes) > 1000
    found = fs.lineage("View0:f1", up=1, down=1)
    assert found.of_kind("service") == ["all"]
    assert len(found.nodes) == 7


def test_the_command_shows_and_draws_it(tmp_path: Path) -> None:
    ran(run_in(tmp_path, "init", "shop"))
    shop = tmp_path / "shop"
    ran(run_in(shop, "apply", "--yes"))
    shown = ran(run_in(shop, "lineage", "payments.amount", "--down", "1")).stdout
    assert "Spend@v1:amount_sum_1h" in shown
    data = data_of(run_in(shop, "lineage", "Spend", "--json"))
    assert {node["kind"] for node in data["nodes"]} >= {"column", "feature"}
    ran(run_in(shop, "lineage", "Spend", "--svg", "spend.svg"))
    ElementTree.fromstring((shop / "spend.svg").read_text())
    ran(run_in(shop, "lineage", "nobody"), 2)
