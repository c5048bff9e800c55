"""Damaged LMDB files: found before LMDB maps them; no process is ended, no value is another one."""

from __future__ import annotations

import os
import random
import signal
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from skewless.compiled import compiled
from skewless.errors import CorruptData, SkewlessError
from skewless.stores.online.lmdb import pages
from skewless.stores.online.lmdb.opening import STAMP
from skewless.stores.online.lmdb.store import LMDBStore
from skewless.stores.online.sealed import sealed

PAGE = 4096
CHILD_SECONDS = 60
RIGHT, ERROR, WRONG = "right", "error", "WRONG"
Damage = Callable[[Path], None]
Values = dict[bytes, bytes]


def rows() -> Values:
    chance = random.Random(5)
    short = {b"key %05d" % n: chance.randbytes(chance.randrange(30, 900)) for n in range(400)}
    return short | {
        b"long %05d" % n: chance.randbytes(chance.randrange(3000, 30_000)) for n in range(20)
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Values]:
    """Give the folder of a store with branches, values with pages of their own and free pages."""
    folder, written, chance = tmp_path_factory.mktemp("lmdb") / "whole", rows(), random.Random(6)
    with sealed(LMDBStore(folder, sync=False)) as store:
        store.write("rows", list(written.items()))
        for _ in range(30):
            some = chance.sample(sorted(written), 12)
            written.update((key, chance.randbytes(len(written[key]) + 7)) for key in some)
            store.write("rows", [(key, written[key]) for key in some])
        gone = chance.sample(sorted(written), 30)
        store.delete("rows", gone)
    return folder, {key: value for key, value in written.items() if key not in gone}


def outcome(folder: Path, written: Values) -> str:
    """Read all, write, delete and read again in a child; say what came of it."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(CHILD_SECONDS)
        code = 3
        try:
            code = _judged(folder, dict(written))
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"ended by signal {-code}" if code < 0 else (RIGHT, ERROR, WRONG, "crashed")[code]


def _judged(folder: Path, written: Values) -> int:
    try:
        with sealed(LMDBStore(folder, sync=False)) as store:
            for number in range(3):
                keys = sorted(written)
                found = [store.read_one("rows", key) for key in keys]
                if found != [written[key] for key in keys]:
                    return 2
                if dict(store.scan("rows")) != written:
                    return 2
                new = {b"new %d %d" % (number, n): b"x" * 97 * n for n in range(60)}
                store.write("rows", list(new.items()))
                written |= new
                store.delete("rows", keys[number::9])
                for key in keys[number::9]:
                    del written[key]
    except SkewlessError:
        return 1
    return 0


def trials(
    whole: tuple[Path, Values], tmp_path: Path, damages: Iterator[tuple[str, Damage]]
) -> dict[str, str]:
    """Return what came of a copy with each damage, by the damage."""
    folder, written = whole
    content, found = (folder / "data.mdb").read_bytes(), {}
    for number, (name, damage) in enumerate(damages):
        copy = tmp_path / str(number)
        copy.mkdir()
        (copy / "data.mdb").write_bytes(content)
        damage(copy / "data.mdb")
        found[name] = outcome(copy, written)
        (copy / "data.mdb").unlink()
    return found


def patched(at: int, data: bytes) -> Damage:
    """Return what overwrites bytes of a file."""

    def patch(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return patch


def flipped(content: bytes, bit: int) -> Damage:
    return patched(bit // 8, bytes([content[bit // 8] ^ 1 << bit % 8]))


def pages_of(content: bytes) -> dict[str, list[int]]:
    """Return the pages that the last transaction uses, by their kind."""
    found: dict[str, list[int]] = {"meta": [0, 1], "branch": [], "leaf": [], "overflow": []}
    for number in range(2, len(content) // PAGE):
        at, _, flags = struct.unpack_from("=QHH", content, number * PAGE)
        kind = {1: "branch", 2: "leaf", 4: "overflow"}.get(flags)
        if at == number and kind:
            found[kind].append(number)
    return found


def bad(found: dict[str, str]) -> dict[str, str]:
    return {name: came for name, came in found.items() if came not in (RIGHT, ERROR)}


def test_a_store_as_it_was_written_is_in_order(whole: tuple[Path, Values], tmp_path: Path) -> None:
    def nothing(_: Path) -> None: ...

    assert trials(whole, tmp_path, iter([("nothing", nothing)])) == {"nothing": RIGHT}


@pytest.mark.parametrize("kind", ["meta", "branch", "leaf", "overflow"])
def test_a_flipped_bit_in_the_head_of_a_page(
    whole: tuple[Path, Values], tmp_path: Path, kind: str
) -> None:
    content, chance = (whole[0] / "data.mdb").read_bytes(), random.Random(7)
    numbers, head = pages_of(content)[kind], 152 if kind == "meta" else 40
    assert numbers

    def damages() -> Iterator[tuple[str, Damage]]:
        for _ in range(int(os.environ.get("SKEWLESS_FLIPS", "60"))):
            bit = chance.choice(numbers) * PAGE * 8 + chance.randrange(head * 8)
            yield f"page {bit // 8 // PAGE}, bit {bit % (PAGE * 8)}", flipped(content, bit)

    found = trials(whole, tmp_path, damages())
    assert bad(found) == {}
    assert Counter(found.values())[ERROR] > 0


def test_a_flipped_bit_anywhere_in_a_page(whole: tuple[Path, Values], tmp_path: Path) -> None:
    content, chance = (whole[0] / "data.mdb").read_bytes(), random.Random(8)

    def damages() -> Iterator[tuple[str, Damage]]:
        for _ in range(int(os.environ.get("SKEWLESS_FLIPS", "60"))):
            bit = chance.randrange(len(content) * 8)
            yield f"bit {bit}", flipped(content, bit)

    assert bad(trials(whole, tmp_path, damages())) == {}


def test_a_page_that_is_empty_another_one_or_nonsense(
    whole: tuple[Path, Values], tmp_path: Path
) -> None:
    content, chance = (whole[0] / "data.mdb").read_bytes(), random.Random(9)
    kinds = pages_of(content)

    def damages() -> Iterator[tuple[str, Damage]]:
        for kind, numbers in kinds.items():
            for number in chance.sample(numbers, min(4, len(numbers))):
                other = chance.choice(numbers) * PAGE
                yield f"{kind} {number} empty", patched(number * PAGE, bytes(PAGE))
                yield f"{kind} {number} nonsense", patched(number * PAGE, chance.randbytes(PAGE))
                yield (
                    f"{kind} {number} of {other // PAGE}",
                    patched(number * PAGE, content[other : other + PAGE]),
                )

    found = trials(whole, tmp_path, damages())
    assert bad(found) == {}
    assert Counter(found.values())[ERROR] > 0


def test_a_file_that_was_cut_short_anywhere(whole: tuple[Path, Values], tmp_path: Path) -> None:
    size, chance = (whole[0] / "data.mdb").stat().st_size, random.Random(10)
    sizes = [1, 100, PAGE - 1, PAGE, PAGE + 200, 2 * PAGE, size - PAGE, size - 1, size // 2]
    sizes += [chance.randrange(size) for _ in range(20)]

    def damages() -> Iterator[tuple[str, Damage]]:
        for cut in sizes:
            yield f"{cut} bytes", partial(os.truncate, length=cut)

    found = trials(whole, tmp_path, damages())
    assert bad(found) == {}
    assert found[f"{size // 2} bytes"] == ERROR


def test_a_file_of_which_nothing_is_left_is_no_new_store(tmp_path: Path) -> None:
    with LMDBStore(tmp_path) as store:
        store.write("rows", [(b"key", b"1")])
    os.truncate(tmp_path / "data.mdb", 0)
    with pytest.raises(CorruptData, match="cut short"):
        LMDBStore(tmp_path)
    (tmp_path / "data.mdb").unlink()  # what the hint says
    with LMDBStore(tmp_path) as store:
        assert store.read_one("rows", b"key") is None


def test_the_forms_in_c_and_in_python_find_the_same(whole: tuple[Path, Values]) -> None:
    if compiled("skewless.stores.online.lmdb._pages") is None:
        pytest.skip("no module in C")
    content, chance = (whole[0] / "data.mdb").read_bytes(), random.Random(11)
    kinds = pages_of(content)

    def told(look: Callable[..., object], *arguments: object) -> object:
        try:
            return look(*arguments)
        except pages.Flaw as flaw:
            return str(flaw)

    told_apart = set()
    for _ in range(4000):
        kind = chance.choice(["branch", "leaf"])
        number = chance.choice(kinds[kind])
        page = bytearray(content[number * PAGE : (number + 1) * PAGE])
        for _ in range(chance.randrange(3)):
            bit = chance.randrange(chance.choice([200, PAGE]) * 8)
            page[bit // 8] ^= 1 << bit % 8
        code = pages.BRANCH if kind == "branch" else pages.LEAF
        given = (memoryview(page), number, code, chance.random() < 0.2)
        found = told(pages.look, *given)
        assert found == told(pages._look, *given)
        told_apart.add(found.partition(" page")[0] if isinstance(found, str) else kind)
    assert {"branch", "leaf"} < told_apart


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the files whose pages were looked at, as far as they were until now."""
    found: list[str] = []
    check = pages.check

    def noting(path: str) -> None:
        found.append(path)
        check(path)

    monkeypatch.setattr(pages, "check", noting)
    return found


def in_a_child(work: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_store_that_was_closed_is_not_looked_at_again(tmp_path: Path, looks: list[str]) -> None:
    for number in range(3):
        with LMDBStore(tmp_path) as store:
            store.write("rows", [(b"key", b"%d" % number)])
    assert looks == []
    assert (tmp_path / STAMP).stat().st_mode & 0o077 == 0


def test_a_store_whose_writer_was_killed_is_looked_at_once(
    tmp_path: Path, looks: list[str]
) -> None:
    LMDBStore(tmp_path).close()
    in_a_child(lambda: LMDBStore(tmp_path).write("rows", [(b"key", b"1")]))  # and is never closed
    for _ in range(2):
        LMDBStore(tmp_path).close()
        assert len(looks) == 1


def test_a_store_that_another_process_has_open_is_not_looked_at(
    tmp_path: Path, looks: list[str]
) -> None:
    with LMDBStore(tmp_path) as store:
        store.write("rows", [(b"key", b"0")])
    (tmp_path / STAMP).unlink()
    ours, theirs = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        with LMDBStore(tmp_path) as store:
            store.write("rows", [(b"key", b"1")])
            os.write(ours[1], b".")
            os.read(theirs[0], 1)
        os._exit(0)
    os.read(ours[0], 1)
    with LMDBStore(tmp_path) as store:
        assert store.read_one("rows", b"key") == b"1"
    os.write(theirs[1], b".")
    os.waitpid(pid, 0)
    assert looks == []
    (tmp_path / STAMP).unlink()
    LMDBStore(tmp_path).close()
    assert len(looks) == 1


def test_damage_that_came_while_a_store_was_open_is_found_by_the_next(tmp_path: Path) -> None:
    with LMDBStore(tmp_path) as store:
        store.write("rows", [(b"%d" % n, b"value") for n in range(2000)])
        content = (tmp_path / "data.mdb").read_bytes()
        number = pages_of(content)["branch"][-1]
        patched(number * PAGE, bytes(PAGE))(tmp_path / "data.mdb")
    with pytest.raises(CorruptData, match=r"damaged.*Restore a copy") as raised:
        LMDBStore(tmp_path)
    assert str(tmp_path / "data.mdb") in str(raised.value)


def test_a_look_at_a_file_that_is_written_to_meanwhile_finds_nothing_wrong(tmp_path: Path) -> None:
    with LMDBStore(tmp_path, sync=False) as store:
        store.write("rows", [(b"%d" % n, b"value" * 20) for n in range(5000)])
        newest = pages.newest

        def and_a_write(file: int) -> pages.Meta:
            found = newest(file)
            for n in range(3 if writes else 0):
                store.write("rows", [(b"%d" % k, b"%d" % n * 90) for k in range(0, 5000, 50)])
            if writes:
                writes.pop()
            return found

        writes = [1, 2]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pages, "newest", and_a_write)
            pages.check(str(tmp_path / "data.mdb"))
        assert writes == []
