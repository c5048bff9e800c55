"""A ledger bears kills at any byte, several writers and a full disk."""

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skewless.errors import StoreError
from skewless.ledger.chain import Chain, Head
from skewless.ledger.verify import verify_chain

NOON = 1_767_355_200_000_000
WRITER = """
import sys
from pathlib import Path
from skewless.ledger.chain import Chain
folder, name, many = sys.argv[1:]
chain = Chain(Path(folder), file_bytes=20_000)
for number in range(int(many)):
    chain.append([("run", {"job": name, "number": number, "row": row}) for row in range(3)], at=1)
    print(number, flush=True)
"""


def jobs(chain: Chain) -> list[object]:
    return [record.data["job"] for record in chain.records()]


def test_a_write_cut_off_at_any_byte_is_told_and_nothing_sealed_is_lost(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "db1")
    chain.append([("run", {"job": "first"})], at=NOON)
    (file,) = chain.files()
    sealed = file.stat().st_size
    chain.append([("run", {"job": "cut"})], at=NOON)
    whole = file.read_bytes()
    for size in range(sealed, len(whole)):
        folder = tmp_path / str(size) / "db1"
        folder.mkdir(parents=True)
        (folder / file.name).write_bytes(whole[:size])
        cut = verify_chain(folder, None)
        assert (cut.ok, cut.records, len(cut.gaps)) == (True, 1, int(size > sealed))
        later = Chain(folder)
        heads: list[Head] = []
        later.append([("run", {"job": "later"})], at=NOON, keep=heads.append)
        later.append([("run", {"job": "last"})], at=NOON, keep=heads.append)
        report = verify_chain(folder, heads[-1])
        assert (report.problems, report.records, len(report.gaps)) == ([], 3, int(size > sealed))
        assert jobs(later) == ["first", "later", "last"]


def test_what_a_kill_left_cannot_be_altered_later(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "db1")
    chain.append([("run", {"job": "first"})], at=NOON)
    (file,) = chain.files()
    with file.open("ab") as opened:
        opened.write(b'{"n":2,"at":1,"kind":"run"')
    chain.append([("run", {"job": "later"})], at=NOON)
    assert verify_chain(chain.folder, None).ok
    file.write_bytes(file.read_bytes().replace(b'{"n":2', b'{"n":9'))
    assert not verify_chain(chain.folder, None).ok


def test_a_new_file_cut_off_at_any_byte_is_told(tmp_path: Path) -> None:
    for size in (0, 1, 40, 200, 300):
        chain = Chain(tmp_path / str(size) / "db1", file_bytes=100)
        chain.append([("run", {"job": "first"})], at=NOON)
        chain.append([("run", {"job": "cut"})], at=NOON)
        newest = chain.files()[-1]
        newest.write_bytes(newest.read_bytes()[:size])
        later = Chain(chain.folder, file_bytes=100)
        later.append([("run", {"job": "later"})], at=NOON)
        report = verify_chain(chain.folder, None)
        assert (report.problems, report.records, len(report.gaps)) == ([], 2, 1)


def writer(folder: Path, name: str, many: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(folder), name, str(many)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_killed_writers_lose_nothing_they_were_told_is_kept(tmp_path: Path) -> None:
    chance = random.Random(5)
    chain = Chain(tmp_path / "db1", file_bytes=20_000)
    told = 0
    for number in range(20):
        with writer(chain.folder, f"w{number}", 10_000) as process:
            assert process.stdout is not None
            for _ in range(chance.randint(1, 30)):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
            last = (process.stdout.read().split() or [None])[-1]
        kept = [r.data["number"] for r in chain.records() if r.data["job"] == f"w{number}"]
        assert len(kept) % 3 == 0
        assert last is None or max(kept) >= int(last)
        told += len(kept)
    heads: list[Head] = []
    chain.append([("run", {"job": "last"})], at=NOON, keep=heads.append)
    report = verify_chain(chain.folder, heads[-1])
    assert (report.problems, report.records) == ([], told + 1)


def test_several_processes_append_to_one_chain(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "db1")
    processes = [writer(chain.folder, f"w{number}", 30) for number in range(4)]
    for process in processes:
        with process:
            process.communicate()
        assert process.returncode == 0
    report = verify_chain(chain.folder, None)
    assert (report.problems, report.gaps, report.records) == ([], [], 4 * 30 * 3)
    assert sorted(jobs(chain)) == sorted(f"w{number}" for number in range(4) for _ in range(90))
    assert [record.n for record in chain.records()] == list(range(1, 361))


def test_a_full_disk_refuses_a_record_whole_and_later_ones_follow(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "db1")
    chain.append([("run", {"job": "first"})], at=NOON)
    (file,) = chain.files()
    size = file.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 1, 50, 150):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, before[1]))
        try:
            with pytest.raises(StoreError, match="ledger cannot be written"):
                chain.append([("run", {"job": "x" * 300})], at=NOON)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert file.stat().st_size == size
    chain.append([("run", {"job": "later"})], at=NOON)
    report = verify_chain(chain.folder, None)
    assert (report.problems, report.gaps, jobs(chain)) == ([], [], ["first", "later"])
