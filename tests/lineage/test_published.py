"""Every kind of event is held to the published schemas of OpenLineage."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import UnknownName
from skewless.ledger.runs import recorded
from skewless.lineage.openlineage import _VERSIONS, JOBS
from skewless.materialize import verbs
from tests.lineage.published import validator
from tests.shop import HOUR, NOON, open_store, pay, spend_of

PAYS = sl.Source(
    "pays",
    schema={
        "pay_id": str, "n": int, "amount": sl.Column(float, "what was paid"),
        "card_id": sl.Column(str, "on the card", pii="direct"), "city": str,
    },
    event_time="at", row_id="pay_id", owner="payments", description="What was paid.",
)  # fmt: skip
SPEND = spend_of(PAYS)
RATIO = sl.OnDemandView("Ratio", features={"r": sl.Request("ask", float) / SPEND.biggest})
SHOP = sl.Entity("shop", shop_id=str)
SUBTYPES = {
    "DIRECT": {"IDENTITY", "TRANSFORMATION", "AGGREGATION"},
    "INDIRECT": {"JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL"},
}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Whatever there are events of, as a file gets them."""
    folder = tmp_path_factory.mktemp("published")
    rows = [{"shop_id": "s1", "rent": 2.0, "at": from_micros(NOON - HOUR)}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "shops.parquet")
    shops = sl.Source(
        "shops", schema={"shop_id": str, "rent": float}, event_time="at",
        table=sl.Parquet("shops.parquet"),
    )  # fmt: skip
    rent = sl.FeatureView("Rent", entity=SHOP, source=shops, features={"rent": shops.rent.latest()})
    service = sl.FeatureService("fraud", [SPEND.total_1h, SPEND.city, RATIO.r])
    settings = {"kind": "file", "path": "lineage.jsonl"}
    with open_store(folder, SPEND, RATIO, rent, service, lineage=settings) as fs:
        fs.push("pays", [pay("p1", NOON - HOUR)], backdate=True)
        fs.materialize("Spend", start=NOON - HOUR, end=NOON)
        fs.backfill()
        verbs.rebuild(fs.runtime, None)
        fs.compact("pays")
        with pytest.raises(UnknownName):
            fs.materialize("Spent")
        with pytest.raises(KeyboardInterrupt):
            stopped(fs.runtime, ["Spend"])
        spine = pa.Table.from_pylist([{"card_id": "c1", "ask": 2.0, "t": from_micros(NOON)}])
        pq.write_table(spine, folder / "spine.parquet")
        fs.get_historical_features(str(folder / "spine.parquet"), "fraud", timestamp="t")
        fs.get_historical_features(spine, ["Spend:biggest"], timestamp="t")
    return [json.loads(line) for line in (folder / "lineage.jsonl").read_text().splitlines()]


@recorded("backfill", "views")
def stopped(runtime: Any, views: list[str]) -> None:
    raise KeyboardInterrupt


def kind_of(event: dict[str, Any]) -> str:
    return event["schemaURL"].rpartition("/")[2]


def test_every_event_holds_to_its_schema(events: list[dict[str, Any]]) -> None:
    for event in events:
        problems = [f"{each.json_path}: {each.message}" for each in errors(event)]
        assert not problems, (problems, event)


def errors(event: dict[str, Any]) -> Iterator[Any]:
    return validator(kind_of(event)).iter_errors(event)


def test_there_is_every_kind_of_event_and_facet(events: list[dict[str, Any]]) -> None:
    assert {kind_of(event) for event in events} == {"RunEvent", "DatasetEvent", "JobEvent"}
    runs = [event for event in events if kind_of(event) == "RunEvent"]
    assert {each["eventType"] for each in runs} == {"START", "COMPLETE", "FAIL", "ABORT"}
    names = {each["job"]["name"] for each in runs}
    assert names == {"training_set", *(job.replace(" ", "_") for job in JOBS)}
    facets = {
        each["_schemaURL"].rpartition("/")[2]
        for event in events
        for each in within(event)
        if "_schemaURL" in each
    }
    assert facets == set(_VERSIONS)


def test_what_is_said_of_a_dependence_is_in_the_words_of_the_spec(
    events: list[dict[str, Any]],
) -> None:
    said = [
        (each["type"], each["subtype"])
        for event in events
        for each in within(event)
        if "subtype" in each
    ]
    assert said
    assert [each for each in said if each[1] not in SUBTYPES.get(each[0], ())] == []


def within(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each object within a value, and itself."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from within(each)


def test_a_schema_refuses_what_lacks_or_adds_a_field(events: list[dict[str, Any]]) -> None:
    """Each field of an event that the schema requires is one that it misses."""
    (failed,) = [each for each in events if each.get("eventType") == "FAIL"]
    for path, wrong in (
        (["eventTime"], "yesterday"),
        (["eventType"], "DONE"),
        (["producer"], "skewless"),
        (["run", "runId"], "7"),
        (["run", "facets", "errorMessage", "message"], None),
        (["run", "facets", "errorMessage", "_schemaURL"], failed["schemaURL"]),
        (["run", "facets", "mistake"], failed["run"]["facets"]["errorMessage"]),
        (["job", "facets", "jobType", "processingType"], 1),
        (["jobs"], []),
    ):
        assert list(errors(changed(failed, path, wrong))), path
    for path in (
        ["eventTime"],
        ["run"],
        ["job", "name"],
        ["run", "facets", "errorMessage", "message"],
    ):
        assert list(errors(changed(failed, path))), path


def changed(event: dict[str, Any], path: list[str], *value: Any) -> dict[str, Any]:
    """Return an event with another value at a path, or without it."""
    made = held = copy.deepcopy(event)
    for name in path[:-1]:
        held = held[name]
    held.pop(path[-1], None)
    if value:
        held[path[-1]] = value[0]
    return made
