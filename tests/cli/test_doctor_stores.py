"""doctor on stores: a real round trip to each, and what is wrong with one in words."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from skewless.cli import store_checks
from skewless.errors import StoreError
from skewless.stores.online.postgres.rows import check_version as check_postgres
from skewless.stores.online.redis.client import check_version as check_redis
from skewless.testing.servers import PASSWORD, Server, free_port, redis_command, running
from tests.cli.running import data_of, ran, run_in

FEATURES = """
import skewless as sl
card = sl.Entity("card", card_id=str)
payments = sl.Source("payments", schema={"card_id": str, "amount": float}, event_time="at")
@sl.feature_view(entity=card, source=payments)
class Spend:
    total = payments.amount.sum(last=10)
"""
SECRETS = (PASSWORD, PASSWORD.replace(" ", "%20"), "not%20the%20tests", "hush-hush")


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running("postgres") as server:
        yield server


def repo(folder: Path, settings: str) -> Path:
    (folder / "features.py").write_text(FEATURES)
    (folder / "skewless.toml").write_text(settings)
    return folder


def findings(folder: Path, code: int = 0) -> dict[str, list[str]]:
    """Texts and hints by status and check; none of them holds a secret."""
    result = run_in(folder, "doctor", "--json")
    said = run_in(folder, "doctor")
    for secret in SECRETS:
        assert secret not in result.output + said.output
    found: dict[str, list[str]] = {}
    for each in data_of(result, code)["findings"]:
        text = f"{each['text']} {each['hint']}"
        found.setdefault(f"{each['status']} {each['check']}", []).append(text)
    return found


@pytest.mark.server("redis")
def test_every_store_of_the_settings_gets_a_round_trip(tmp_path: Path, redis: Server) -> None:
    repo(
        tmp_path,
        f"""
        [online]
        kind = "sqlite"
        mirror = "cache"
        [stores.cache]
        kind = "redis"
        url = "{redis.url}"
        namespace = "{tmp_path.name}"
        [stores.old]
        kind = "lmdb"
        path = "old"
        """,
    )
    ran(run_in(tmp_path, "apply", "--yes"))
    found = findings(tmp_path)
    for check in ("registry", "online store", "mirror", "store old"):
        assert " ms" in found[f"ok {check}"][0]


@pytest.mark.server("redis")
def test_a_store_beside_its_journal_shows_both(tmp_path: Path, redis: Server) -> None:
    repo(tmp_path, f'[online]\nkind = "redis"\nurl = "{redis.url}"\nnamespace = "{tmp_path.name}"')
    ran(run_in(tmp_path, "apply", "--yes"))
    found = findings(tmp_path)
    assert {"ok online store", "ok journal"} <= found.keys()
    assert "may lose acknowledged states" in found["warn online store"][0]


@pytest.mark.server("redis")
def test_a_store_that_lost_its_rows_fails_until_it_is_built_anew(tmp_path: Path) -> None:
    with running("redis") as server:
        repo(tmp_path, f'[online]\nkind = "redis"\nurl = "{server.url}"')
        ran(run_in(tmp_path, "apply", "--yes"))
        row = '{"card_id": "c", "amount": 1, "at": "2026-01-01T00:00:00Z"}'
        ran(run_in(tmp_path, "push", "payments", "-", input=row))
        assert "fail online store" not in findings(tmp_path)
        server.restart()
        while "PONG" not in redis_answer(server) and "NOAUTH" not in redis_answer(server):
            pass
        assert "has lost the rows" in findings(tmp_path, 1)["fail online store"][0]
        ran(run_in(tmp_path, "get", "Spend", "card_id=c"), 3)
        ran(run_in(tmp_path, "online", "rebuild"))
        assert "fail online store" not in findings(tmp_path)


def redis_answer(server: Server) -> str:
    return redis_command(urlsplit(server.url).port or 0, "PING").decode()


@pytest.mark.server("redis")
def test_a_redis_that_may_evict_rows_warns(tmp_path: Path) -> None:
    with running("redis-sentinel") as server:
        port = next(
            int(process.args[process.args.index("--port") + 1])
            for process in server.processes
            if isinstance(process.args, list)
        )
        redis_command(port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        repo(tmp_path, f'[online]\nkind = "redis"\nurl = "redis://127.0.0.1:{port}/0"')
        ran(run_in(tmp_path, "apply", "--yes"))
        assert "allkeys-lru" in " ".join(findings(tmp_path)["warn online store"])


@pytest.mark.server("redis")
def test_a_wrong_password_of_redis_fails(tmp_path: Path, redis: Server) -> None:
    wrong = redis.url.replace(":of", ":not%20of")
    repo(tmp_path, f'[online]\nkind = "redis"\nurl = "{wrong}"')
    assert "Check user, password" in findings(tmp_path, 1)["fail online store"][0]


@pytest.mark.server("postgres")
def test_wrong_credentials_of_postgres_fail(tmp_path: Path, postgres: Server) -> None:
    wrong = postgres.url.replace(":of", ":not%20of")
    repo(tmp_path, f'[online]\nkind = "postgres"\ndsn = "{wrong}"')
    assert "refuses this user" in findings(tmp_path, 1)["fail online store"][0]


@pytest.mark.server("postgres")
def test_a_database_that_is_missing_fails(tmp_path: Path, postgres: Server) -> None:
    missing = postgres.url.replace("/postgres", "/nowhere")
    repo(tmp_path, f'[online]\nkind = "postgres"\ndsn = "{missing}"')
    assert "lacks a database" in findings(tmp_path, 1)["fail online store"][0]


@pytest.mark.server("postgres")
def test_a_user_without_rights_fails_in_the_online_store_and_the_mirror(
    tmp_path: Path, postgres: Server
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as owner:
        owner.execute("CREATE ROLE guest LOGIN PASSWORD 'hush-hush'")
        owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    guest = postgres.url.replace("tests:of%20the%20tests", "guest:hush-hush")
    assert guest != postgres.url
    repo(tmp_path, f'[online]\nkind = "postgres"\ndsn = "{guest}"')
    assert "lacks a right" in findings(tmp_path, 1)["fail online store"][0]
    repo(
        tmp_path,
        f'[online]\nkind = "lmdb"\nmirror = "db"\n[stores.db]\nkind = "postgres"\ndsn = "{guest}"',
    )
    ran(run_in(tmp_path, "apply", "--yes"))
    assert "lacks a right" in findings(tmp_path, 1)["fail mirror"][0]


@pytest.mark.server("postgres")
def test_the_registry_of_a_team_is_looked_at_too(tmp_path: Path, postgres: Server) -> None:
    repo(tmp_path, f'[registry]\nkind = "postgres"\ndsn = "{postgres.url}"\nschema = "doctored"')
    ran(run_in(tmp_path, "apply", "--yes"))
    assert "read in" in findings(tmp_path)["ok registry"][0]
    wrong = postgres.url.replace(":of", ":not%20of")
    repo(tmp_path, f'[registry]\nkind = "postgres"\ndsn = "{wrong}"')
    found = findings(tmp_path, 1)
    assert "fail registry" in found
    assert "ok online store" in found


def test_hosts_that_cannot_be_reached_fail_each_for_itself(tmp_path: Path) -> None:
    port = free_port()
    repo(
        tmp_path,
        f"""
        [online]
        kind = "lmdb"
        mirror = "cache"
        [stores.cache]
        kind = "redis"
        url = "redis://user:hush-hush@127.0.0.1:{port}/0"
        [stores.db]
        kind = "postgres"
        dsn = "postgresql://user:hush-hush@127.0.0.1:{port}/db"
        """,
    )
    ran(run_in(tmp_path, "apply", "--yes"))
    found = findings(tmp_path, 1)
    for check in ("mirror", "store db"):
        assert "cannot be reached" in found[f"fail {check}"][0]
        assert f"127.0.0.1:{port}" in found[f"fail {check}"][0]
    assert "ok online store" in found


def test_two_sections_that_lead_to_one_place_fail(tmp_path: Path) -> None:
    repo(
        tmp_path,
        """
        [online]
        kind = "sqlite"
        path = "online.sqlite"
        [stores.next]
        kind = "sqlite"
        path = "./here/../online.sqlite"
        """,
    )
    (tmp_path / "here").mkdir()
    ran(run_in(tmp_path, "apply", "--yes"))
    assert "lead to one place" in findings(tmp_path, 1)["fail store next"][0]


def test_two_stores_of_one_name_are_refused_with_the_line(tmp_path: Path) -> None:
    section = '[stores.next]\nkind = "lmdb"\npath = "a"\n'
    repo(tmp_path, section + section)
    assert "next" in findings(tmp_path, 1)["fail settings"][0]
    assert "line 4" in findings(tmp_path, 1)["fail settings"][0]


def test_states_near_the_limit_of_the_store_warn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo(tmp_path, "")
    ran(run_in(tmp_path, "apply", "--yes"))
    ran(
        run_in(
            tmp_path,
            "push",
            "payments",
            "-",
            input='{"card_id": "c", "amount": 1, "at": "2026-01-01T00:00:00Z"}',
        )
    )
    assert "warn online store" not in findings(tmp_path)
    monkeypatch.setattr(store_checks, "LARGE_SHARE", 1e-9)
    assert "resolution=" in findings(tmp_path)["warn online store"][0]


def test_servers_that_are_too_old_are_refused_in_words() -> None:
    with pytest.raises(StoreError, match=r"older than supported.*Got: 4\.0\.14.*at least 5\.0"):
        check_redis("4.0.14", "redis://here")
    with pytest.raises(StoreError, match=r"older than supported.*Got: 11.*at least 12"):
        check_postgres(110_021, "postgresql://here")
    for version in ("5.0.0", "7.2.4", "8.0", "255.255.255", ""):
        check_redis(version, "redis://here")
    check_postgres(120_000, "postgresql://here")


def test_a_file_of_another_program_fails(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other, other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    repo(tmp_path, '[online]\nkind = "sqlite"\npath = "other.sqlite"')
    assert "was not written by skewless" in findings(tmp_path, 1)["fail online store"][0]
