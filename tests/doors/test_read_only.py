"""Whoever may only read a repo reads all of it: another user, a read-only mount, a role of a database."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import skewless as sl
from skewless.testing.servers import missing, program, running
from tests.serving.conftest import DEFINITIONS, ROWS

SCRIPT = """
import json, sys
from datetime import datetime, timezone
import skewless as sl
fs = sl.FeatureStore(sys.argv[1])
at = datetime(2026, 1, 1, 10, tzinfo=timezone.utc)
cards = [{"card_id": "c1"}, {"card_id": "c9"}]
reads = {
    "online": lambda: fs.get_online_features("Newest", cards).to_rows(),
    "training": lambda: fs.get_historical_features(
        [card | {"t": at} for card in cards], "fraud", timestamp="t").to_arrow().to_pylist(),
    "changes": lambda: fs.read_features("Spend").num_rows,
    "explain": lambda: fs.explain("Spend:total", cards[0], at=None).value,
    "statistics": lambda: str(fs.statistics("Spend")).partition("\\n")[2],
    "fresh": lambda: [view.view for view in fs.freshness().views],
    "found": lambda: fs.search("spent"),
    "set aside": lambda: [row.reason for row in fs.quarantine("payments")],
    "plan": lambda: str(fs.plan()),
    "history": lambda: len(fs.runtime.registry.history()),
}
writes = {
    "push": lambda: fs.push("trips", [{"driver": 7, "code": b"x", "km": 1.0, "at": at}], backdate=True),
    "apply": lambda: fs.runtime.registry.deprecate("Spend:total", "old"),
    "compact": lambda: fs.compact(),
    "purge": lambda: fs.purge_quarantine("payments"),
    "backfill": lambda: fs.backfill(),
}
done = {name: read() for name, read in reads.items()}
if sys.argv[2:] == ["refused"]:
    for name, write in writes.items():
        try:
            write()
        except sl.SkewlessError as problem:
            done["refused " + name] = type(problem).__name__
    done["after"] = {name: read() == done[name] for name, read in reads.items()}
print(json.dumps(done, default=repr))
"""
REFUSED = {"refused push", "refused apply", "refused compact", "refused purge", "refused backfill"}


def made(folder: Path, toml: str) -> Path:
    folder.mkdir()
    (folder / "features.py").write_text(DEFINITIONS)
    (folder / "skewless.toml").write_text(toml)
    with sl.FeatureStore(folder) as fs:
        fs.apply(fs.plan())
        fs.push("payments", [*ROWS[:4], {"payment_id": "bad", "amount": "much"}], backdate=True)
        fs.compact()
        fs.push("payments", ROWS[4:], backdate=True)
    return folder


def read_by(repo: Path, *words: str, before: tuple[str, ...] = ()) -> dict[str, object]:
    command = [*before, sys.executable, "-c", SCRIPT, str(repo), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def with_reading_rights(repo: Path) -> tuple[str, ...]:
    """Give a folder away, to be read by all; return what makes a process one of those."""
    for place in (repo, *repo.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    if os.geteuid():
        return ()
    for place in (repo, *repo.rglob("*")):
        os.chown(place, 12_345, 12_345)
    # Root without this power has the rights of others.
    setpriv = program("setpriv", install="on Debian: apt-get install util-linux")
    return (setpriv, "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", "--")


@pytest.fixture(params=["", '[online]\nkind = "sqlite"\n'], ids=["lmdb", "sqlite"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    place = made(tmp_path / "repo", request.param)
    yield place
    for each in (place, *place.rglob("*")):
        if each.is_dir():
            each.chmod(0o755)


def test_who_may_only_read_the_folder_reads_all_of_it(repo: Path, tmp_path: Path) -> None:
    expected = read_by(repo)
    found = read_by(repo, "refused", before=with_reading_rights(repo))
    assert {name: found[name] for name in expected} == expected
    assert set(found["after"].values()) == {True}  # type: ignore[attr-defined]
    assert set(found) >= REFUSED


def test_a_repo_whose_settings_say_so_is_only_read(repo: Path) -> None:
    expected = read_by(repo)
    settings = repo / "skewless.toml"
    settings.write_text('mode = "read-only"\n' + settings.read_text())

    def content() -> dict[str, bytes]:
        return {
            str(file.relative_to(repo)): file.read_bytes()
            for file in sorted((repo / ".skewless").rglob("*"))
            if file.is_file() and not file.name.endswith(("-shm", "-wal", "lock.mdb"))
        }

    before = content()
    found = read_by(repo, "refused")
    assert {name: found[name] for name in expected} == expected
    assert set(found["after"].values()) == {True}  # type: ignore[attr-defined]
    assert set(found) >= REFUSED
    assert content() == before


def test_a_mount_that_can_only_be_read_is_read(repo: Path) -> None:
    expected = read_by(repo)
    unshare = program("unshare", install="on Debian: apt-get install util-linux")
    mounting = f"mount --bind {repo} {repo} && mount -o remount,ro,bind {repo}"
    if subprocess.run(
        [unshare, "-m", "sh", "-c", mounting], capture_output=True, check=False
    ).returncode:
        missing("mounts cannot be made here", required=False)
    before = (unshare, "-m", "sh", "-c", f'{mounting} && exec "$@"', "sh")
    found = read_by(repo, "refused", before=before)
    assert {name: found[name] for name in expected} == expected
    assert set(found) >= REFUSED


def test_a_reader_sees_what_a_writer_beside_it_pushes(tmp_path: Path) -> None:
    repo = made(tmp_path / "repo", "")
    with sl.FeatureStore(repo) as fs:
        with_rights = with_reading_rights(repo)
        for place in (repo, *repo.rglob("*")):
            place.chmod(0o755 if place.is_dir() else 0o644)
        for number in range(3):
            row = dict(ROWS[0]) | {
                "payment_id": f"new{number}",
                "card_id": "c9",
                "amount": float(number),
            }
            row["paid_at"] = row["seen"] = ROWS[3]["paid_at"]
            fs.push("payments", [row], backdate=True)
            found = read_by(repo, before=with_rights)
            assert found["online"][1]["amount"] == float(number)  # type: ignore[index]


@pytest.mark.server("postgres")
def test_a_role_that_may_only_read_the_database_reads(tmp_path: Path) -> None:
    import psycopg

    with running("postgres") as server:
        toml = f'[online]\nkind = "postgres"\ndsn = "{server.url}"\n[registry]\nkind = "postgres"\ndsn = "{server.url}"\n'
        repo = made(tmp_path / "repo", toml)
        expected = read_by(repo)
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
            schemas = (
                "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'"
            )
            for (schema,) in admin.execute(schemas).fetchall():
                admin.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO reader')
                admin.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO reader')
        place = server.url.rpartition("@")[2].removeprefix("postgresql://")
        (repo / "skewless.toml").write_text(
            toml.replace(server.url, f"postgresql://reader:x@{place}")
        )
        found = read_by(repo, "refused", before=with_reading_rights(repo))
        assert {name: found[name] for name in expected} == expected
        assert set(found["after"].values()) == {True}, "a refused write ends no read"  # type: ignore[attr-defined]
        assert set(found) >= REFUSED


def test_what_is_made_is_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for name, toml in (("lmdb", ""), ("sqlite", '[online]\nkind = "sqlite"\n')):
            repo = made(tmp_path / name, toml)
            assert stat.S_IMODE((repo / ".skewless").stat().st_mode) == 0o700
            kept = [*repo.rglob("*.db*"), *repo.rglob("*.mdb"), *repo.rglob("*.sqlite*")]
            assert kept
            assert {stat.S_IMODE(file.stat().st_mode) for file in kept} <= {0o600}
    finally:
        os.umask(before)
    shutil.rmtree(tmp_path / "lmdb")


def test_doctor_warns_of_what_can_only_be_read(repo: Path) -> None:
    before = with_reading_rights(repo)
    command = [*before, sys.executable, "-m", "skewless.cli.main", "doctor", "--json"]
    done = subprocess.run(
        command, cwd=repo, capture_output=True, text=True, timeout=300, check=False
    )
    found = json.loads(done.stdout)["findings"]
    assert [each for each in found if each["status"] == "fail"] == []
    assert {each["check"] for each in found if "can only be read" in each["text"]} >= {
        "folder",
        "online store",
    }
