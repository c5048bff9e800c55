"""Registries that move: copies, exports, and readers that notice a change."""

import json
import threading
import time
from pathlib import Path

import pytest

from skewless.errors import ConfigError, CorruptData, InputError, RegistryError, StoreError
from skewless.registry import backup
from skewless.registry.base import Registry
from skewless.registry.postgres import PostgresRegistry
from skewless.registry.sqlite import SQLiteRegistry
from tests.cli.running import data_of, ran, run_in
from tests.registry.shop import applied, shop, spend


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
