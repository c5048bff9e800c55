"""A project is a wall: two of them in one registry neither see nor change each other's."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skewless.definitions.repo import Definitions
from skewless.errors import ConcurrentApply, UnknownName
from skewless.plan.apply.diff import diff
from skewless.registry import backup
from skewless.registry.base import Registry
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.shop import applied, fraud, ratio, spend

Open = Callable[..., Registry]
FORMAT_1 = Path(__file__).parent / "samples" / "format_1.sql"
"""What the release before projects wrote: `Spend` at two versions and a little of everything."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server("postgres"))])
def registry_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the registry of a project, always in one place."""
    opened: list[Registry] = []

    def sqlite_of(project: str) -> Registry:
        return SQLiteRegistry(tmp_path / "registry.db", project=project)

    def postgres_of(project: str) -> Registry:
        from skewless.registry.postgres import PostgresRegistry

        url = request.getfixturevalue("postgres_url")
        schema = f"p{abs(hash(request.node.name))}"
        return PostgresRegistry(url, schema=schema, project=project)

    def made(project: str) -> Registry:
        opened.append((sqlite_of if request.param == "sqlite" else postgres_of)(project))
        return opened[-1]

    yield made
    for registry in opened:
        registry.close()


def load_format_1(registry: Registry, tmp_path: Path) -> None:
    text = FORMAT_1.read_text()
    if isinstance(registry, SQLiteRegistry):
        with closing(sqlite3.connect(tmp_path / "registry.db")) as connection, connection:
            connection.executescript(text)
        connection.close()
        return
    import psycopg

    with psycopg.connect(registry._dsn, autocommit=True) as connection:  # type: ignore[attr-defined]
        schema = registry._schema  # type: ignore[attr-defined]
        connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema}; {text}")


def test_two_projects_neither_see_nor_change_each_other(registry_of: Open) -> None:
    a, b = registry_of("team_a"), registry_of("team_b")
    applied(a, spend(), ratio(), fraud())
    a.add_interval("Spend", 1, 0, 10)
    a.set_progress("job", 1)
    a.deprecate("Spend", "old")
    before = a.dump()
    assert b.state().records == ()
    assert b.state().revision == 0
    assert (b.history(), b.intervals("Spend", 1), b.get_progress("job")) == ([], [], None)
    applied(b, spend("1d"))
    applied(b, spend("2d"))
    b.add_interval("Spend", 1, 5, 50)
    b.set_progress("job", 2)
    b.forget_intervals("Spend", 2)
    b.deprecate("Spend", "older")
    b.retire("Spend", 1)
    applied(b, removing=True)
    assert b.state().current == {}
    assert a.dump() == before
    assert (a.state().revision, b.state().revision) == (2, 5)


def test_versions_are_counted_in_each_project(registry_of: Open) -> None:
    a, b = registry_of("team_a"), registry_of("team_b")
    applied(a, spend())
    applied(a, spend("14d"))
    applied(b, spend("30d"))
    assert (a.state().current, b.state().current) == ({"Spend": 2}, {"Spend": 1})
    with pytest.raises(UnknownName):
        b.retire("Spend", 2)


def test_an_apply_of_one_project_does_not_overtake_a_plan_of_another(registry_of: Open) -> None:
    a, b = registry_of("team_a"), registry_of("team_b")
    plans = [diff(a.state(), Definitions.of(spend(w)), removing=True) for w in ("1d", "2d")]
    applied(b, spend("1d"))
    a.apply(plans[0])
    with pytest.raises(ConcurrentApply):
        a.apply(plans[1])


@pytest.mark.parametrize("first", ["read", "write"])
def test_the_rows_of_an_older_registry_belong_to_the_project_that_opens_it(
    registry_of: Open, tmp_path: Path, first: str
) -> None:
    mine = registry_of("fab")
    load_format_1(mine, tmp_path)
    if first == "write":
        mine.set_progress("y", 2)
    assert mine.state().current == {"Spend": 2}
    assert mine.state().revision == 3
    assert [revision.number for revision in mine.history()] == [3, 2, 1]
    assert mine.intervals("Spend", 2) == [(10, 20)]
    assert mine.get_progress("x") == {"a": 1}
    assert [notice.target for notice in mine.state().notices] == ["Spend"]
    applied(mine, spend("30d"))
    assert mine.state().current == {"Spend": 3}
    other = registry_of("other")
    assert other.state().records == ()
    assert (mine.state().revision, other.state().revision) == (4, 0)


def test_a_project_is_exported_and_restored_under_another_name(
    registry_of: Open, tmp_path: Path
) -> None:
    a = registry_of("team_a")
    applied(a, spend(), fraud("Spend:mean"))
    backup.export(a, tmp_path / "a.json")
    b = registry_of("renamed")
    applied(registry_of("bystander"), spend("1d"))
    backup.restore(b, tmp_path / "a.json")
    assert b.dump() == a.dump()
