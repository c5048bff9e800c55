"""What is PostgreSQL's own: the server that goes away, processes, the schema."""

from urllib.parse import quote, urlparse

import psycopg
import pytest

from skewless.errors import DefinitionError, RegistryError, StoreUnavailable
from skewless.registry.postgres import PostgresRegistry
from skewless.testing.proxy import Proxy
from skewless.testing.servers import PASSWORD
from skewless.testing.shop import applied, spend
from tests.registry.test_sqlite import start

pytestmark = pytest.mark.server("postgres")


def test_reading_makes_no_schema(postgres_url: str) -> None:
    with PostgresRegistry(postgres_url, schema="not_made") as registry:
        assert registry.state().revision == 0
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'not_made'")
        assert found.fetchall() == []


def test_schemas_of_one_database_are_apart(postgres_url: str) -> None:
    with (
        PostgresRegistry(postgres_url, schema="left_one") as left,
        PostgresRegistry(postgres_url, schema="right_one") as right,
    ):
        applied(left, spend())
        assert (left.state().revision, right.state().revision) == (1, 0)


def test_a_schema_of_another_program_is_refused(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE SCHEMA songs")
        connection.execute("CREATE TABLE songs.titles (title TEXT)")
    with (
        PostgresRegistry(postgres_url, schema="songs") as registry,
        pytest.raises(RegistryError, match="another program's tables"),
    ):
        registry.state()


def test_a_lost_connection_is_made_anew(postgres_url: str) -> None:
    with PostgresRegistry(postgres_url, schema="lost") as registry:
        applied(registry, spend())
        with psycopg.connect(postgres_url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        assert registry.state().revision == 1
        applied(registry, spend("14d"))
        assert registry.state().revision == 2


def test_a_server_that_does_not_answer_is_an_outage(postgres_url: str) -> None:
    port = urlparse(postgres_url).port
    assert port is not None
    with (
        Proxy(port) as proxy,
        PostgresRegistry(
            postgres_url.replace(f":{port}", f":{proxy.port}"), schema="hangs", timeout=3
        ) as registry,
    ):
        applied(registry, spend())
        proxy.delay = 3600.0
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            registry.state()
        proxy.delay = 0.0
        assert registry.state().revision == 1


def test_a_server_that_is_not_there_is_an_outage_without_its_password() -> None:
    url = f"postgresql://ada:{quote(PASSWORD)}@127.0.0.1:1/features"
    registry = PostgresRegistry(url, timeout=1)
    with pytest.raises(StoreUnavailable, match=r"127.0.0.1:1/features") as caught:
        registry.state()
    assert PASSWORD not in str(caught.value)


def test_an_address_that_cannot_be_read_is_told_without_it() -> None:
    with pytest.raises(RegistryError, match="not an address") as caught:
        PostgresRegistry("host=db pass word=hush")
    assert "hush" not in str(caught.value)


def test_a_schema_has_a_plain_name() -> None:
    with pytest.raises(DefinitionError, match="not a name for a schema"):
        PostgresRegistry("host=db", schema='x"; DROP TABLE y')


def test_a_closed_registry_says_so(postgres_url: str) -> None:
    registry = PostgresRegistry(postgres_url, schema="closed_one")
    registry.state()
    registry.close()
    with pytest.raises(RegistryError, match="closed"):
        registry.state()


APPLY_UNTIL_TOLD = """
    import sys
    from skewless.definitions.repo import Definitions
    from skewless.errors import ConcurrentApply
    from skewless.plan.apply.diff import diff
    from skewless.registry.postgres import PostgresRegistry
    from skewless.testing.shop import spend

    url, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    registry = PostgresRegistry(url, schema="shared")
    for number in range(times):
        registry.add_interval("Spend", 1, number * 10, number * 10 + 10)
        while True:
            state = registry.state()
            tags = state.view("Spend").labels["tags"] if "Spend" in state.current else {}
            plan = diff(state, Definitions.of(spend(tags=tags | {f"{name}{number}": 1})))
            try:
                registry.apply(plan, who=name)
                break
            except ConcurrentApply:
                pass
"""


def test_two_processes_that_apply_at_once_lose_nothing(postgres_url: str) -> None:
    both = [start(APPLY_UNTIL_TOLD, postgres_url, name, 10) for name in ("left", "right")]
    for process in both:
        process.communicate(timeout=120)
    assert [process.returncode for process in both] == [0, 0]
    with PostgresRegistry(postgres_url, schema="shared") as registry:
        every = {f"{name}{n}" for name in ("left", "right") for n in range(10)}
        assert set(registry.state().view("Spend").labels["tags"]) == every
        assert registry.state().revision == len(registry.history()) == 20
        assert registry.intervals("Spend", 1) == [(0, 100)]
