"""Whatever is done to a ledger's files is told, and nothing is told of those nobody touched."""

import random
import shutil
from pathlib import Path

import pytest

from skewless.ledger.chain import Chain, Head
from skewless.ledger.lines import SEAL_START, record_line
from skewless.ledger.verify import verify_chain

NOON = 1_767_355_200_000_000


def written(folder: Path, chance: random.Random, appends: int = 12) -> Head:
    """A chain of several files; return its head."""
    chain = Chain(folder, file_bytes=900)
    heads: list[Head] = []
    for number in range(appends):
        said = [("run", {"job": f"j{number}", "rows": row}) for row in range(chance.randint(1, 4))]
        chain.append(said, at=NOON + number, keep=heads.append)
    assert len(chain.files()) > 2
    return heads[-1]


def lines_of(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(True)


def edit(folder, chance):
    file = chance.choice(sorted(folder.glob("*.jsonl")))
    data = bytearray(file.read_bytes())
    place = chance.randrange(len(data))
    data[place] = chance.choice([byte for byte in range(256) if byte != data[place]])
    file.write_bytes(bytes(data))


def drop_line(folder, chance):
    file = chance.choice(sorted(folder.glob("*.jsonl")))
    lines = lines_of(file)
    del lines[chance.randrange(len(lines))]
    file.write_bytes(b"".join(lines))


def insert_line(folder, chance):
    file = chance.choice(sorted(folder.glob("*.jsonl")))
    lines = lines_of(file)
    forged = record_line(chance.randint(1, 30), NOON, "run", {"job": "forged"})
    lines.insert(chance.randrange(len(lines) + 1), chance.choice([forged, *lines, b"\n"]))
    file.write_bytes(b"".join(lines))


def reorder(folder, chance):
    file = chance.choice([each for each in folder.glob("*.jsonl") if len(lines_of(each)) > 2])
    lines = lines_of(file)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    file.write_bytes(b"".join(lines))


def truncate(folder, chance):
    file = chance.choice(sorted(folder.glob("*.jsonl")))
    data = file.read_bytes()
    file.write_bytes(data[: chance.randrange(len(data))])


def truncate_newest(folder, chance):
    """Back to a seal: what is left looks whole."""
    file = max(folder.glob("*.jsonl"))
    lines = lines_of(file)
    seals = [place for place, line in enumerate(lines) if line.startswith(SEAL_START)]
    cut = chance.choice([-1, *seals[:-1]])
    file.write_bytes(b"".join(lines[: cut + 1])) if cut >= 0 else file.unlink()


def drop_file(folder, chance):
    chance.choice(sorted(folder.glob("*.jsonl"))).unlink()


def swap_files(folder, chance):
    one, other = chance.sample(sorted(folder.glob("*.jsonl")), 2)
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def swap_segments(folder, chance):
    file = chance.choice(
        [f for f in folder.glob("*.jsonl") if f.read_bytes().count(SEAL_START) > 2]
    )
    head, *lines = lines_of(file)
    segments, segment = [], []
    for line in lines:
        segment.append(line)
        if line.startswith(SEAL_START):
            segments.append(segment)
            segment = []
    one, other = chance.sample(range(len(segments)), 2)
    segments[one], segments[other] = segments[other], segments[one]
    file.write_bytes(b"".join([head, *(line for each in segments for line in each)]))


def forge(folder, chance):
    """A record with a CRC of its own, where another stood."""
    file = chance.choice(sorted(folder.glob("*.jsonl")))
    lines = lines_of(file)
    place = chance.choice([p for p, line in enumerate(lines) if line.startswith(b'{"n":')])
    n = int(lines[place].split(b",")[0].removeprefix(b'{"n":'))
    lines[place] = record_line(n, NOON, "run", {"job": "forged"})
    file.write_bytes(b"".join(lines))


MUTATIONS = [
    edit, drop_line, insert_line, reorder, truncate, truncate_newest, drop_file, swap_files,
    swap_segments, forge,
]  # fmt: skip


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, bytes], Head]]:
    """The files and the head of ten chains."""
    found = []
    for seed in range(10):
        folder = tmp_path_factory.mktemp("chains") / "db1"
        head = written(folder, random.Random(seed))
        found.append((files_of(folder), head))
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.jsonl")}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_is_named(mutation, chains, tmp_path: Path) -> None:
    for seed in range(100):
        chance = random.Random(f"{mutation.__name__}{seed}")
        folder = tmp_path / "db1"
        folder.mkdir()
        before, head = chains[seed % len(chains)]
        for name, data in before.items():
            (folder / name).write_bytes(data)
        mutation(folder, chance)
        after = files_of(folder)
        assert after != before
        report = verify_chain(folder, head)
        newest = max(before)
        grown = after.get(newest, b"").startswith(before[newest])
        if grown and after | {newest: before[newest]} == before:
            assert report.gaps or report.problems, (
                seed
            )  # behind the last seal: what a kill leaves looks like that
        else:
            first = min(damage.n for damage in report.problems)
            assert first <= first_altered(before, after), (seed, report.problems)
        shutil.rmtree(folder)


def first_altered(before: dict[str, bytes], after: dict[str, bytes]) -> int:
    """The number of the first record that does not stand where it stood."""
    old, new = (b"".join(files[name] for name in sorted(files)).splitlines(True)
                for files in (before, after))  # fmt: skip
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
    return sum(line.startswith(b'{"n":') for line in old[:same]) + 1


def test_clean_chains_raise_no_alarm(tmp_path: Path) -> None:
    for seed in range(100):
        folder = tmp_path / str(seed)
        head = written(folder, random.Random(seed))
        report = verify_chain(folder, head)
        assert (report.problems, report.gaps) == ([], [])
        assert report.records == head.n


def test_a_head_from_before_is_no_alarm(tmp_path: Path) -> None:
    """The registry may be a write behind: a process was killed between the two."""
    heads: list[Head] = []
    chain = Chain(tmp_path / "db1")
    for number in range(3):
        chain.append([("run", {"job": number})], at=NOON, keep=heads.append)
    assert all(verify_chain(chain.folder, head).ok for head in heads)


def test_the_first_bad_record_is_named(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "db1")
    chain.append([("run", {"job": name}) for name in ("a", "b", "c")], at=NOON)
    (file,) = chain.files()
    file.write_bytes(file.read_bytes().replace(b'"job":"b"', b'"job":"x"'))
    (damage,) = verify_chain(chain.folder, None).problems
    assert (damage.line, damage.n) == (3, 2)


def test_an_older_copy_of_the_files_is_named(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "db1")
    chain.append([("run", {"job": "a"})], at=NOON)
    shutil.copytree(chain.folder, tmp_path / "older" / "db1")
    heads: list[Head] = []
    chain.append([("run", {"job": "b"})], at=NOON, keep=heads.append)
    (damage,) = verify_chain(tmp_path / "older" / "db1", heads[-1]).problems
    assert (damage.n, damage.what) == (2, "the chain had 2 records: the newest are gone")


def test_all_files_gone_is_named(tmp_path: Path) -> None:
    head = written(tmp_path / "db1", random.Random(1))
    shutil.rmtree(tmp_path / "db1")
    (damage,) = verify_chain(tmp_path / "db1", head).problems
    assert damage.n == 1
