"""Column lineage is what the definition says, exactly: forty definitions and their edges."""

from datetime import datetime
from pathlib import Path

import pytest

import skewless as sl
from skewless.lineage.columns import NOW, feature_edges, on_demand_edges, source_edges
from tests.shop import open_store

CARD = sl.Entity("card", card_id=str)
PAYS = sl.Source(
    "pays",
    schema={"card_id": str, "amount": float, "fee": float, "ok": bool, "city": str, "n": int},
    event_time="at",
)
AMOUNT, FEE = PAYS.amount, PAYS.fee
TIME_AND_KEY = {"at": "INDIRECT WINDOW", "card_id": "INDIRECT JOIN"}


def inputs(view: sl.FeatureView, feature: str = "f") -> dict[str, set[str]]:
    """Column to the ways in which a feature depends on it."""
    found: dict[str, set[str]] = {}
    for edge in feature_edges(view, 1):
        if edge.target.name == f"{view.name}@v1:{feature}":
            name = edge.source.name.removeprefix("pays.")
            found.setdefault(name, set()).add(f"{edge.how.type} {edge.how.subtype}")
    return found


def view_of(expression: object, source: sl.Source = PAYS, **options: object) -> sl.FeatureView:
    return sl.FeatureView("V", entity=CARD, source=source, features={"f": expression}, **options)


AGG, SAME = "DIRECT AGGREGATION", "DIRECT IDENTITY"
FILTER, GROUP, CASE = "INDIRECT FILTER", "INDIRECT GROUP_BY", "INDIRECT CONDITIONAL"
GOLDEN = [
    (AMOUNT.sum("1h"), {"amount": AGG}),
    (AMOUNT.mean("1h"), {"amount": AGG}),
    (AMOUNT.std(last=9), {"amount": AGG}),
    (AMOUNT.min(sl.lifetime()), {"amount": AGG}),
    (AMOUNT.max(sl.tumbling("1h")), {"amount": AGG}),
    (AMOUNT.mean(sl.session("5m")), {"amount": AGG}),
    (AMOUNT.median("1d"), {"amount": AGG}),
    (AMOUNT.quantile(0.9, "1d"), {"amount": AGG}),
    (AMOUNT.trend(last=9, recent=3), {"amount": AGG}),
    (AMOUNT.slope("1d"), {"amount": AGG}),
    (AMOUNT.sum("1h", offset="1d"), {"amount": AGG}),
    (PAYS.city.n_unique("1d"), {"city": AGG}),
    (PAYS.city.mode("1d"), {"city": AGG}),
    (PAYS.city.last_n(3, last=3), {"city": AGG}),
    (AMOUNT.latest(), {"amount": SAME}),
    (AMOUNT.latest(ttl="1d"), {"amount": SAME}),
    (AMOUNT.latest(skip_nulls=True), {"amount": {SAME, FILTER}}),
    (AMOUNT.first("1d"), {"amount": SAME}),
    (PAYS.count("1h"), {}),
    (PAYS.rate("1h"), {}),
    (PAYS.since_last(), {}),
    (PAYS.where(PAYS.ok).count("1h"), {"ok": FILTER}),
    (PAYS.where(PAYS.ok & (AMOUNT > 5)).count("1h"), {"ok": FILTER, "amount": FILTER}),
    (PAYS.where(AMOUNT > 5).amount.sum("1h"), {"amount": {AGG, FILTER}}),
    (PAYS.where(PAYS.city == "Bonn").fee.mean("1h"), {"fee": AGG, "city": FILTER}),
    (PAYS.where(PAYS.ok).where(PAYS.n > 1).count("1h"), {"ok": FILTER, "n": FILTER}),
    ((AMOUNT - FEE).sum("1h"), {"amount": AGG, "fee": AGG}),
    ((AMOUNT - FEE).latest(), {"amount": AGG, "fee": AGG}),
    (AMOUNT.cast(int).sum("1h"), {"amount": AGG}),
    (AMOUNT.sum("1d", by="city"), {"amount": AGG, "city": GROUP}),
    (PAYS.count("1d", by="city"), {"city": GROUP}),
    (sl.if_else(PAYS.ok, AMOUNT, FEE).sum("1h"), {"amount": AGG, "fee": AGG, "ok": CASE}),
    (AMOUNT.max("1h") - AMOUNT.min("1h"), {"amount": AGG}),
    (AMOUNT.latest() / FEE.mean("1h"), {"amount": "DIRECT TRANSFORMATION", "fee": AGG}),
    (AMOUNT.latest() + 1, {"amount": "DIRECT TRANSFORMATION"}),
    (PAYS.where(PAYS.ok).count("1d") / PAYS.count("1d"), {"ok": FILTER}),
    (
        sl.if_else(PAYS.count("1h") > 3, AMOUNT.sum("1h"), FEE.sum("1h")),
        {"amount": AGG, "fee": AGG},
    ),
    (
        sl.if_else(PAYS.n.sum("1h") > 3, AMOUNT.sum("1h"), FEE.sum("1h")),
        {"amount": AGG, "fee": AGG, "n": CASE},
    ),
    (AMOUNT.mean("1h").fill_null(0.0), {"amount": AGG}),
    (AMOUNT.sum("1h") + PAYS.n.sum("1d") * FEE.max(last=5), {"amount": AGG, "n": AGG, "fee": AGG}),
]  # fmt: skip


def test_there_are_forty() -> None:
    assert len(GOLDEN) == 40


@pytest.mark.parametrize(("expression", "wanted"), GOLDEN, ids=[repr(e)[:60] for e, _ in GOLDEN])
def test_inputs_of_a_definition(expression: object, wanted: dict[str, object]) -> None:
    expected = {
        name: {how} if isinstance(how, str) else how
        for name, how in {**wanted, **TIME_AND_KEY}.items()
    }
    assert inputs(view_of(expression)) == expected


def test_the_filter_of_a_view_is_that_of_each_feature() -> None:
    found = inputs(view_of(AMOUNT.sum("1h"), where=PAYS.ok))
    assert found["ok"] == {FILTER}


def test_the_column_a_key_is_called_by_is_joined() -> None:
    source = sl.Source("pays", schema={"card": str, "amount": float}, event_time="at")
    found = inputs(view_of(source.amount.sum("1h"), source, on={"card_id": "card"}))
    assert found["card"] == {"INDIRECT JOIN"}
    assert "card_id" not in found


def test_known_time_and_row_id_decide_which_rows_count() -> None:
    schema = {"card_id": str, "amount": float, "pay_id": str}
    source = sl.Source("pays", schema=schema, event_time="at", known_time="seen", row_id="pay_id")
    found = inputs(view_of(source.amount.sum("1h"), source))
    assert found["seen"] == {"INDIRECT WINDOW"}
    assert found["pay_id"] == {FILTER}


def test_a_role_and_a_lag_keep_the_columns() -> None:
    plain = view_of(AMOUNT.sum("1h"))
    role = plain.of(card_id="buyer")
    assert inputs(role) == inputs(plain) == inputs(view_of(AMOUNT.sum("1h"), lag="1h"))


VIEW = sl.FeatureView(
    "V", entity=CARD, source=PAYS, features={"a": AMOUNT.sum("1h"), "b": FEE.sum("1h")}
)
ASKED = sl.Request("ask", float)


def given(view: sl.OnDemandView) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for edge in on_demand_edges(view, 1):
        said = f"{edge.how.type} {edge.how.subtype}"
        found.setdefault(edge.target.name, {})[edge.source.name] = said
    return found


def test_on_demand_features_come_from_features_and_request_fields() -> None:
    features = {
        "ratio": ASKED / VIEW["a"],
        "same": VIEW["b"] + 0,
        "chosen": sl.if_else(ASKED > 1, VIEW["a"], VIEW["b"]),
        "age": (sl.now() - sl.Request("since", datetime)).days(),
    }
    one = "DIRECT TRANSFORMATION"
    assert given(sl.OnDemandView("O", features=features)) == {
        "O@v1:ratio": {"ask": one, "V@v0:a": one},
        "O@v1:same": {"V@v0:b": one},
        "O@v1:chosen": {"ask": CASE, "V@v0:a": one, "V@v0:b": one},
        "O@v1:age": {NOW: one, "since": one},
    }


def test_a_function_depends_on_all_that_it_is_given() -> None:
    @sl.on_demand(inputs={"x": ASKED, "y": VIEW["a"]}, returns={"p": float, "q": float})
    def Surprise(x, y):
        return {"p": x + y, "q": x - y}

    one = "DIRECT TRANSFORMATION"
    assert given(Surprise) == {
        "Surprise@v1:p": {"ask": one, "V@v0:a": one},
        "Surprise@v1:q": {"ask": one, "V@v0:a": one},
    }


def test_columns_of_a_derived_source_come_from_those_of_its_groups() -> None:
    @sl.derived(
        source=PAYS, by="card_id", rows=3, columns=["amount", "fee"], returns={"mean": float}
    )
    def threes(rows):
        return {"mean": rows["amount"].mean()}

    found: dict[str, dict[str, str]] = {}
    for edge in source_edges(threes):
        kinds = found.setdefault(edge.target.name, {})
        kinds[edge.source.name] = f"{edge.how.type} {edge.how.subtype}"
    made = "DIRECT TRANSFORMATION"
    assert found == {
        "threes.card_id": {"pays.card_id": SAME},
        "threes.mean": {
            "pays.amount": made,
            "pays.fee": made,
            "pays.at": "INDIRECT SORT",
            "pays.card_id": GROUP,
        },
        "threes.at": {"pays.at": AGG, "pays.card_id": GROUP},
    }
    assert list(source_edges(PAYS)) == []


DIES = sl.Source(
    "dies",
    schema={"die": str, "wafer": str, "x": int, "vdd": float, "note": str},
    event_time="at",
    row_id="die",
)


@sl.derived(source=DIES, by="wafer", rows=2, columns=["x", "vdd"], returns={"spread": float})
def wafer_map(rows):
    return {"spread": float(rows["vdd"].max() - rows["vdd"].min())}


def test_a_feature_of_a_derived_source_comes_from_the_rows_below(tmp_path: Path) -> None:
    wafer = sl.Entity("wafer", wafer=str)
    view = sl.FeatureView(
        "Wafer", entity=wafer, source=wafer_map, features={"spread": wafer_map.spread.latest()}
    )
    fs = open_store(tmp_path, view)
    up = fs.lineage("Wafer:spread", up=2, down=0).of_kind("column")
    assert {"dies.vdd", "dies.x", "dies.wafer", "dies.at", "dies.die"} <= set(up)
    assert "dies.note" not in up
    assert fs.lineage("dies.vdd", up=0, down=2).of_kind("feature") == ["Wafer@v1:spread"]
    assert fs.lineage("dies.note", up=0, down=2).of_kind("feature") == []
