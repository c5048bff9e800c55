"""The quarantine: in pages, purged, and with an end."""

import json
import struct

import pytest

import skewless as sl
from skewless.errors import InputError
from skewless.ingest import quarantine
from tests.shop import NOON, open_store, pay, payments, spend_of


def all_bad(fs, source, rows):
    """Push rows of which none comes in."""
    with pytest.raises(sl.RowsRefused):
        fs.push(source, rows)


@pytest.fixture
def fs(tmp_path):
    with open_store(tmp_path / "repo", spend_of(payments(row_id="pay_id"))) as fs:
        yield fs


def test_quarantine_gives_the_newest_first_and_as_many_as_asked_for(fs):
    for number in range(5):
        fs.runtime.clock.time += 1
        all_bad(fs, "pays", [pay("x", NOON, amount=f"bad {number}")])
    found = [entry.values for entry in fs.quarantine("pays", 2)]
    assert ["bad 4" in found[0], "bad 3" in found[1], len(found)] == [True, True, 2]


def bad_rows(fs, *numbers):
    for number in numbers:
        fs.runtime.clock.time += 1
        all_bad(
            fs, "pays", [pay("x", NOON, amount=f"bad {number}"), pay("y", NOON, amount="bad too")]
        )


def test_quarantine_is_paged_without_reading_all_of_it(fs, monkeypatch):
    bad_rows(fs, *range(20))
    whole = fs.quarantine("pays", 1_000)
    seen, journal, scan = [], fs.runtime.journal, type(fs.runtime.journal).scan
    monkeypatch.setattr(
        type(journal), "scan", lambda *a, **k: (seen.append(i) or i for i in scan(*a, **k))
    )
    found, after = [], ""
    while page := fs.quarantine("pays", 3, after=after):
        found += page
        after = page[-1].id
    assert found == whole
    assert len(found) == len({row.id for row in found}) == 40
    assert "bad too" in found[0].values
    seen.clear()
    fs.quarantine("pays", 3, after=found[20].id)
    assert len(seen) <= 4
    for wrong in ("nothing", "zz"):
        with pytest.raises(InputError, match="not the id"):
            fs.quarantine("pays", after=wrong)


def test_quarantine_holds_so_many_rows_and_says_how_many_it_let_go(fs, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST", 10)
    monkeypatch.setattr(quarantine, "_SLACK", 3)
    for number in range(40):
        bad_rows(fs, number)
        size = quarantine.size_of(fs.runtime, "pays")
        assert size.kept <= 14
        assert size.kept + size.dropped == 2 * (number + 1)
        assert len(fs.quarantine("pays", 100)) == size.kept
    assert "bad 39" in fs.quarantine("pays", 2)[1].values


def test_quarantine_is_purged_whole_or_up_to_a_moment(fs):
    bad_rows(fs, 1, 2, 3)
    second = fs.quarantine("pays")[2].at
    assert fs.purge_quarantine("pays", before=second) == 2
    assert [row.at >= second for row in fs.quarantine("pays")] == [True] * 4
    assert fs.purge_quarantine("pays") == 4
    assert fs.purge_quarantine("pays") == 0
    assert fs.quarantine("pays") == []
    assert quarantine.size_of(fs.runtime, "pays") == quarantine.QuarantineSize(0, 6)


def test_rows_that_were_set_aside_before_keys_began_with_the_newest_come_last(fs):
    old = [
        (struct.pack(">qI", at, 0) + b"abcd", json.dumps([at, "why", "{}"]).encode())
        for at in (5, 6)
    ]
    fs.runtime.journal.write("quarantine.pays", old)
    bad_rows(fs, 1)
    found = fs.quarantine("pays")
    assert [row.at for row in found[2:]] == [6, 5]
    pages = [fs.quarantine("pays", 1, after=row.id) for row in found]
    assert [page[0].id if page else "" for page in pages] == [*(row.id for row in found[1:]), ""]
    assert quarantine.size_of(fs.runtime, "pays").kept == 4
    assert fs.purge_quarantine("pays", before=6) == 1


def test_push_of_nothing_and_of_what_is_there_already_is_no_loss(fs):
    fs.push("pays", [pay("a", NOON)])
    assert fs.push("pays", []).accepted == 0
    assert fs.push("pays", [pay("a", NOON), pay("bad", NOON, amount="much")]).duplicates == 1
