"""What a derived source may be, and what a plan says of one."""

from typing import Any

import pytest

import skewless as sl
from skewless.definitions.repo import Definitions
from skewless.plan.apply.diff import diff
from skewless.plan.apply.registry_state import RegistryState

DIES = sl.Source(
    "dies",
    schema={"wafer": str, "x": int, "vdd": float, "place": sl.Vector(2)},
    event_time="at",
    row_id=("wafer", "x"),
)


def spread(rows):
    return {"spread": rows["vdd"].max() - rows["vdd"].min()}


def wafers(function: Any = spread, **given: Any) -> sl.Source:
    options = {"source": DIES, "by": "wafer", "rows": 2, "returns": {"spread": float}}
    return sl.derived(**{**options, "name": "wafers", **given})(function)


def view(source: sl.Source) -> sl.FeatureView:
    wafer = sl.Entity("wafer", wafer=str)
    return sl.FeatureView(
        "Wafer", entity=wafer, source=source, features={"spread": source.spread.latest()}
    )


def test_it_is_a_source_identified_by_its_group() -> None:
    made = wafers()
    assert made.row_id == ("wafer",)
    assert list(made.columns) == ["wafer", "spread", "last_row", "at"]
    with pytest.raises(sl.UnknownName):
        made["last_row"]
    assert [each.column.name for each in made.latest("*").members] == ["wafer", "spread"]
    assert made.derivation is not None
    assert made.derivation.columns == ("x", "vdd", "place")
    assert (made.derivation.rows, made.derivation.most) == (2, 2)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"rows": None}, "need bounds"),
        ({"rows": 0}, "need bounds"),
        ({"rows": True}, "need bounds"),
        ({"most": 10**9}, "need bounds"),
        ({"rows": 3, "most": 2}, "fewer rows than it needs"),
        ({"by": "vdd"}, "cannot group by 'vdd'"),
        ({"by": "at"}, "cannot group by 'at'"),
        ({"by": ()}, "needs columns to group by"),
        ({"by": ("x", "x")}, "needs columns to group by"),
        ({"by": "wafr"}, "no column 'wafr'.*Did you mean 'wafer'"),
        ({"columns": ["vd"]}, "no column 'vd'.*Did you mean 'vdd'"),
        ({"returns": {}}, "returns nothing"),
        ({"returns": {"wafer": str}}, "returns 'wafer', which it has from its rows"),
        ({"returns": {"last_row": int}}, "returns 'last_row', which it has from its rows"),
        ({"returns": {"at": str}}, "returns 'at', which it has from its rows"),
        ({"source": DIES.where(DIES.x > 1)}, "derived of a source"),
        ({"function": print}, "by a function"),
    ],
)
def test_what_cannot_be_exact_is_refused_where_it_is_written(
    given: dict[str, Any], why: str
) -> None:
    with pytest.raises(sl.SkewlessError, match=f"(?s){why}"):
        wafers(**given)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"table": sl.Parquet("dies/")}, "(?s)it has a table.*Push the table's rows"),
        ({"lateness": "1h"}, "it has a lateness"),
    ],
)
def test_a_source_whose_groups_are_not_whole_is_refused(options: dict[str, Any], why: str) -> None:
    source = sl.Source("other", schema={"wafer": str, "vdd": float}, event_time="at", **options)
    with pytest.raises(sl.DefinitionError, match=why):
        wafers(source=source)


def test_what_is_derived_of_a_derived_source_sees_its_columns_alone() -> None:
    again = wafers(source=wafers(), returns={"other": float}, name="again")
    assert again.derivation is not None
    assert again.derivation.columns == ("spread",)
    assert sorted(Definitions.of(view_of(again)).sources) == ["again", "dies", "wafers"]
    for given in ({"columns": ["last_row"]}, {"by": "last_row"}):
        with pytest.raises(sl.UnknownName, match="no column 'last_row'"):
            wafers(source=wafers(), returns={"other": float}, **given)
    values = sl.Source.of(view(wafers()))
    assert wafers(source=values).row_id == ("wafer",)
    with pytest.raises(sl.UnknownName, match="no column 'source_row'"):
        wafers(source=values, columns=["source_row"])


def view_of(source: sl.Source) -> sl.FeatureView:
    wafer = sl.Entity("wafer", wafer=str)
    return sl.FeatureView("Rows", entity=wafer, source=source, features={"n": source.count("1d")})


def test_what_views_are_over_at_a_remove_is_not_removed() -> None:
    again = wafers(source=wafers(), returns={"other": float}, name="again")
    state = applied(view_of(again))
    plan = diff(state, Definitions.of(view_of(DIES)), removing=True)  # the old version serves on
    assert {step.name: step.action for step in plan.changed} == {"Rows": "changed values"}
    assert [name for name in ("again", "wafers") if f"source {name} is kept" in str(plan)] == [
        "again",
        "wafers",
    ]
    assert "each change of a row of wafers is a row of its log" in str(
        diff(RegistryState(), Definitions.of(again))
    )


def test_a_view_brings_its_derived_source_and_what_that_is_made_of() -> None:
    found = Definitions.of(view(wafers()))
    assert sorted(found.sources) == ["dies", "wafers"]
    assert Definitions.from_dict(found.to_dict()) == found


def test_the_text_of_the_function_is_part_of_the_fingerprint() -> None:
    def other(rows):
        return {"spread": 0.0}

    before = view(wafers()).fingerprint
    assert view(wafers()).fingerprint == before
    assert view(wafers(description="in words", owner="te")).fingerprint == before
    assert view(wafers(other)).fingerprint != before
    assert view(wafers(rows=3)).fingerprint != before


def applied(*things: Any) -> RegistryState:
    return RegistryState(records=diff(RegistryState(), Definitions.of(*things)).writes)


def test_a_plan_says_when_there_are_rows_and_what_they_cost() -> None:
    text = str(diff(RegistryState(), Definitions.of(wafers(most=9))))
    assert "a row for each wafer of dies, from 2 rows on, 9 at most" in text
    assert "8 bytes a row of dies, by wafer" in text


def test_what_is_made_otherwise_needs_another_name() -> None:
    def other(rows):
        return {"spread": 0.0}

    current = applied(wafers())
    assert diff(current, Definitions.of(wafers(owner="te"))).steps[-1].action == "described only"
    with pytest.raises(
        sl.DefinitionError, match=r"(?s)otherwise.*text of its function.*another name"
    ):
        diff(current, Definitions.of(wafers(other)))
    with pytest.raises(sl.DefinitionError, match="otherwise.*rows, most"):
        diff(current, Definitions.of(wafers(rows=3)))
    with pytest.raises(sl.DefinitionError, match="otherwise.*schema"):
        diff(current, Definitions.of(wafers(returns={"spread": int})))
    plain = sl.Source("wafers", schema={"wafer": str, "spread": float}, event_time="at")
    with pytest.raises(sl.DefinitionError, match="otherwise"):
        diff(current, Definitions.of(plain))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"row_id": "wafer"}, "row id is another one"),
        ({"table": sl.Parquet("dies/")}, "it has a table"),
        ({"schema": {"wafer": str, "x": int, "vdd": int, "place": sl.Vector(2)}}, "'vdd' is gone"),
    ],
)
def test_what_rows_are_made_of_stays_as_they_need_it(options: dict[str, Any], why: str) -> None:
    given = {"schema": dict(DIES.schema), "event_time": "at", "row_id": ("wafer", "x")}
    with pytest.raises(sl.DefinitionError, match=why):
        diff(applied(wafers()), Definitions.of(sl.Source("dies", **{**given, **options})))
    wider = sl.Source("dies", **{**given, "schema": {**DIES.schema, "more": str}})
    assert not diff(applied(wafers()), Definitions.of(wider)).breaking


def test_both_go_together() -> None:
    current = applied(view(wafers()))
    gone = diff(current, Definitions.of(), removing=True)
    assert {("source", "dies"), ("source", "wafers")} <= set(gone.removals)
