"""Registries that move: copies, exports, and readers that notice a change."""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.definitions.repo import Definitions
from skewless.errors import (
    ConfigError,
    CorruptData,
    InputError,
    RegistryError,
    SkewlessError,
    StoreError,
)
from skewless.monitoring.freshness import FreshnessReport
from skewless.monitoring.search import search
from skewless.plan.apply.diff import diff
from skewless.plan.selection import select
from skewless.registry import backup
from skewless.registry.base import Registry
from skewless.registry.postgres import PostgresRegistry
from skewless.registry.sqlite import SQLiteRegistry
from skewless.serving.operate.keys import create, listed
from skewless.testing.shop import applied, shop, spend
from tests.cli.running import data_of, ran, run_in


def filled(registry: Registry) -> Registry:
    """Make three revisions, two versions, a deprecation, an interval and progress."""
    definitions = shop()
    applied(registry, *definitions)
    applied(registry, *shop("14d"))
    registry.deprecate("Spend:count", "use mean", who="ada")
    registry.add_interval("Spend", 2, 0, 10)
    registry.set_progress("stream.payments", {"offset": 7})
    return registry


def test_an_export_makes_the_same_registry_again(registry: Registry, tmp_path: Path) -> None:
    filled(registry)
    done = backup.export(registry, tmp_path / "backup.json")
    with SQLiteRegistry(tmp_path / "again.db") as again:
        assert backup.restore(again, tmp_path / "backup.json") == done
        assert again.state().records == registry.state().records
        assert again.history() == registry.history()
        assert again.intervals("Spend", 2) == [(0, 10)]
        assert again.get_progress("stream.payments") == {"offset": 7}
        assert again.state().deprecations == registry.state().deprecations
    assert done.revision == 3
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_copied_registry_goes_on_counting_versions(registry: Registry, tmp_path: Path) -> None:
    filled(registry)
    with SQLiteRegistry(tmp_path / "copy.db") as target:
        backup.move(registry, target)
        applied(target, *shop("21d"))
        assert target.state().current["Spend"] == 3
        assert [revision.number for revision in target.history()] == [4, 3, 2, 1]


def test_a_registry_in_use_is_not_overwritten(registry: Registry, tmp_path: Path) -> None:
    filled(registry)
    backup.export(registry, tmp_path / "backup.json")
    with pytest.raises(RegistryError, match="empty one only"):
        backup.restore(registry, tmp_path / "backup.json")
    assert registry.state().revision == 3


def test_a_copy_tells_how_far_the_original_has_gone_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        SQLiteRegistry(tmp_path / "a.db") as source,
        SQLiteRegistry(tmp_path / "b.db") as target,
    ):
        applied(source, spend())
        restore = target.restore

        def slowly(rows: backup.Rows) -> None:
            restore(rows)
            applied(source, spend("14d"))

        monkeypatch.setattr(target, "restore", slowly)
        assert backup.move(source, target).behind == 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "songs"}', '{"kind": "skewless'])
def test_what_is_no_export_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "backup.json").write_text(text)
    with (
        SQLiteRegistry(tmp_path / "a.db") as registry,
        pytest.raises(CorruptData, match=r"not an export of a registry.*backup\.json"),
    ):
        backup.restore(registry, tmp_path / "backup.json")


WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
    st.sampled_from(["\ud800", "\0", "{}", "[]", '{"$decimal": "x"}', 2**70, 10**400,
                     "Spend", "feature view", '{"pins": 1}', "\x00", [], {}, [[]], [{}]]),
)  # fmt: skip


def places(data: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each part of JSON, that within texts of JSON included."""
    if above:
        yield above
    if isinstance(data, dict):
        for key, inner in data.items():
            yield from places(inner, (*above, key))
    elif isinstance(data, list):
        for number, inner in enumerate(data):
            yield from places(inner, (*above, number))
    elif isinstance(data, str) and data[:1] in ("[", "{") and "\n" not in data:
        yield from places(json.loads(data), (*above, None))


def changed(data: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """Return JSON with one part changed; None in a path leads into a text of JSON."""
    if not path:
        return change(data)
    first, *rest = path
    if first is None:
        return json.dumps(changed(json.loads(data), tuple(rest), change))
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[first] = changed(data[first], tuple(rest), change)
    return copy


def without(data: Any) -> Any:
    """Return a container without its first part, anything else twice."""
    if isinstance(data, dict):
        return dict(list(data.items())[1:])
    return data[1:] if isinstance(data, list) else [data, data]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    with SQLiteRegistry(folder / "a.db") as registry:
        filled(registry)
        applied(registry, *whole_shop())
        create(registry, scope="read", services=["model"])
        backup.export(registry, folder / "backup.json")
    return folder / "backup.json"


def whole_shop() -> list[Any]:
    """Definitions of every kind."""
    import skewless as sl

    card = sl.Entity("holder", holder_id=int, day=date)
    rows = sl.Source(
        "rows", schema={"holder_id": int, "day": date, "price": sl.Decimal(9, 2),
                        "tags": sl.List(str), "codes": sl.Map(bytes)},
        event_time="at", row_id="holder_id", lateness="1d", table=sl.Parquet("rows/"),
    )  # fmt: skip

    @sl.feature_view(entity=card, source=rows, freshness="1h", owner="x")
    class Held:
        price = rows.where(rows.holder_id > 1).price.sum("1h")
        tags = rows.latest("tags", "codes")
        share = rows.count("1d", resolution="1h")

    amount = sl.Request("amount", float)

    @sl.on_demand
    class Ratio:
        ratio = amount / Held.share

    @sl.on_demand(inputs={"amount": amount}, returns={"twice": float})
    def Twice(amount: Any) -> Any:
        return {"twice": amount * 2}

    return [Held, Ratio, Twice, sl.FeatureService("model", [Held, Ratio])]


@settings(
    max_examples=1500 if os.environ.get("CI") else 80, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(number=st.integers(0, 2**20), wrong=WRONG, shorten=st.booleans())
def test_whatever_an_export_holds_it_is_refused_or_can_be_read(
    exported: Path, number: int, wrong: Any, shorten: bool
) -> None:
    content, folder = json.loads(exported.read_text()), exported.parent
    known = list(places(content))
    place, change = known[number % len(known)], without if shorten else lambda _: wrong
    file, database = folder / "changed.json", folder / f"{uuid.uuid4().hex}.db"
    file.write_text(json.dumps(changed(content, place, change)))
    with SQLiteRegistry(database, folder=folder) as registry:
        try:
            backup.restore(registry, file)
        except SkewlessError:
            assert registry.state().revision == 0, "nothing of what is refused is kept"
            return
        read_everything(registry)


def read_everything(registry: Registry) -> None:
    """Do with a registry what servers and commands do: errors of ours at most."""
    state = registry.state()
    registry.history(), registry.progress(), registry.intervals("Spend", 2), registry.dump()
    for reading in (
        lambda: listed(registry),
        lambda: [
            select(state, [f"{name}@v{version}"])
            for name, version in (*state.views, *state.on_demand)
        ],
        lambda: [select(state, state.service(name)) for name in state.pins],
        lambda: diff(state, Definitions.of([]), removing=True),
        lambda: search(state, "spend", 3, fresh=lambda: FreshnessReport(0, ())),
        lambda: [repr(view) for view in state.views.values()],
        lambda: [source.to_dict() for source in state.sources.values()],
    ):
        with contextlib.suppress(SkewlessError):
            reading()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 50_000, "9" * 10_000, "\ufeff{}"])
def test_a_file_of_odd_json_is_no_export(text: str, tmp_path: Path) -> None:
    (tmp_path / "backup.json").write_text(text)
    with (
        SQLiteRegistry(tmp_path / "a.db") as registry,
        pytest.raises(CorruptData, match="not an export of a registry"),
    ):
        backup.restore(registry, tmp_path / "backup.json")


def test_an_export_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    newer = {"kind": backup.KIND, "format": backup.FORMAT + 1, "rows": {}}
    (tmp_path / "backup.json").write_text(json.dumps(newer))
    with (
        SQLiteRegistry(tmp_path / "a.db") as registry,
        pytest.raises(RegistryError, match="another release"),
    ):
        backup.restore(registry, tmp_path / "backup.json")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        SQLiteRegistry(tmp_path / "a.db") as registry,
        pytest.raises(StoreError, match="no/such/folder"),
    ):
        backup.export(registry, tmp_path / "no/such/folder/backup.json")


def test_an_address_of_another_kind_is_refused_without_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mysql://") as caught:
        backup.registry_at("mysql://ada:hush@db/x", tmp_path, "default")
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE"):
        backup.registry_at("postgresql://ada:${NOT_SET_ANYWHERE}@db/x", tmp_path, "default")


# --------------------------------------------------------------------------------------- a team


@pytest.mark.server("postgres")
def test_a_repo_moves_to_postgres_by_command_and_goes_on(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_REGISTRY", postgres_url)
    ran(run_in(tmp_path, "init"))
    ran(run_in(tmp_path, "apply", "--yes"))
    before = data_of(run_in(tmp_path, "history", "--json"))
    done = data_of(run_in(tmp_path, "registry", "copy", "--to", "${TEAM_REGISTRY}", "--json"))
    assert (done["revision"], done["behind"]) == (before[0]["number"], 0)
    toml = tmp_path / "skewless.toml"
    text = toml.read_text() if toml.exists() else ""
    toml.write_text(f'{text}\n[registry]\nkind = "postgres"\ndsn = "${{TEAM_REGISTRY}}"\n')
    assert data_of(run_in(tmp_path, "history", "--json")) == before
    again = run_in(tmp_path, "registry", "copy", "--to", "${TEAM_REGISTRY}")
    assert "empty one only" in ran(again, 2).output


def test_a_backup_by_command_is_restored_by_command(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    ran(run_in(tmp_path / "old", "init"))
    ran(run_in(tmp_path / "old", "apply", "--yes"))
    ran(run_in(tmp_path / "old", "registry", "export", "../backup.json"))
    ran(run_in(tmp_path / "new", "registry", "import", "../backup.json"))
    histories = [data_of(run_in(tmp_path / name, "history", "--json")) for name in ("old", "new")]
    assert histories[0] == histories[1] != []


@pytest.mark.parametrize(
    "words",
    [["copy"], ["export"], ["import"], ["export", "x", "--to", "y"], ["copy", "x", "--to", "y"]],
)
def test_a_wrong_call_says_what_is_missing(words: list[str], tmp_path: Path) -> None:
    ran(run_in(tmp_path, "registry", *words), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.server("postgres")
def test_five_people_who_apply_at_once_lose_nothing(postgres_url: str) -> None:
    from skewless.definitions.repo import Definitions
    from skewless.errors import ConcurrentApply
    from skewless.plan.apply.diff import diff

    refused: list[str] = []

    def work(name: str) -> None:
        with PostgresRegistry(postgres_url, schema="crowd") as registry:
            for number in range(4):
                while True:
                    state = registry.state()
                    tags = state.view("Spend").labels["tags"] if "Spend" in state.current else {}
                    view = spend(tags=tags | {f"{name}{number}": "1"})
                    try:
                        registry.apply(diff(state, Definitions.of(view)), who=name)
                        break
                    except ConcurrentApply as problem:
                        refused.append(str(problem))

    people = [threading.Thread(target=work, args=(name,)) for name in "abcde"]
    for person in people:
        person.start()
    for person in people:
        person.join(timeout=300)
    with PostgresRegistry(postgres_url, schema="crowd") as registry:
        tags = set(registry.state().view("Spend").labels["tags"])
        assert tags == {f"{name}{number}" for name in "abcde" for number in range(4)}
        assert len(registry.history()) == registry.state().revision == 20
        assert {revision.who for revision in registry.history()} == set("abcde")
    assert all("has changed since the plan was made" in text for text in refused)


@pytest.mark.server("postgres")
def test_a_server_notices_what_somebody_else_applies_within_seconds(
    postgres_url: str, tmp_path: Path
) -> None:
    import skewless as sl

    config = sl.Config.of(
        tmp_path, {"registry": {"kind": "postgres", "dsn": postgres_url, "schema": "noticed"}}
    )
    other = sl.Config.of(
        tmp_path / "other",
        {"registry": {"kind": "postgres", "dsn": postgres_url, "schema": "noticed"}},
    )
    with sl.FeatureStore(config) as server, sl.FeatureStore(other) as colleague:
        server.apply(spend())
        assert "fraud" not in server.runtime.state().services
        colleague.apply(list(shop()))
        start = time.monotonic()
        while "fraud" not in server.runtime.state().services:
            assert time.monotonic() - start < 60, "the change was never noticed"
            time.sleep(0.01)
        assert server.runtime.state().services.keys() == {"fraud"}
