"""Masks: what they show keeps its type and is never present; services must not read the ungranted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

import skewless as sl
from skewless.access.actors import VARIABLE
from skewless.access.keyed import KeyedHash
from skewless.config import Config
from skewless.definitions.grant import CLASSES
from skewless.definitions.mask import Mask
from skewless.errors import ConfigError, DefinitionError
from skewless.lineage.access import Access, Asker
from skewless.lineage.masks import Masks
from skewless.plan.results import MASKED_KEY
from skewless.request_errors import Forbidden
from skewless.state.status import Status
from skewless.testing.clock import SettableClock
from skewless.types import Bool, Bytes, Date, Float32, Float64, Int32, Int64, List, String
from tests.cli.running import data_of, ran, run_in

NOW = 1_767_261_600_000_000  # 2026-01-01T10:00:00Z
KEYED = KeyedHash(b"k" * 32)
CARD = sl.Entity("card", card_id=str)
PAYS = sl.Source(
    "pays",
    event_time="at",
    schema={
        "card_id": str,
        "amount": sl.Column(float, pii="sensitive"),
        "holder": sl.Column(str, pii="direct"),
        "shop": str,
        "code": sl.Column(int, mnpi=True),
    },
)
SPEND = sl.FeatureView(
    "Spend",
    entity=CARD,
    source=PAYS,
    features={
        "total": PAYS.amount.sum("1h"),
        "holder": PAYS.holder.latest(),
        "code": PAYS.code.latest(),
        "shops": PAYS.shop.n_unique("1h"),
        "rough": PAYS.amount.sum("1h").declassify("in whole thousands elsewhere"),
    },
)
MODEL = sl.FeatureService("model", [SPEND])
EVERY = sl.Grant("every", to="user:dpo", read="*", personal=CLASSES)
ADS = sl.Grant("ads", to="service:ads", read="*", personal=["sensitive"], mask="bucket:1000")
HASHED = sl.Grant("hashed", to="service:join", read="*", personal=CLASSES, mask="hash")
ROW = {"card_id": "c1", "amount": 1234.5, "holder": "Ada", "shop": "s", "code": 7,
       "at": "2026-01-01T09:30:00Z"}  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as fs:
        fs.apply([SPEND, MODEL, EVERY, ADS, HASHED])
        fs.push("pays", [ROW], backdate=True)
    return tmp_path


def opened(repo: Path, actor: str, monkeypatch: pytest.MonkeyPatch) -> sl.FeatureStore:
    monkeypatch.setenv(VARIABLE, actor)
    return sl.FeatureStore(repo, clock=SettableClock(NOW))


@pytest.mark.parametrize(
    "text", ["", "nul", "null:1", "hash:2", "bucket", "bucket:0", "bucket:-1", "bucket:x", "round:",
             "bucket:inf", "round:1.5", "round:nan", "round:999", 7, None],
)  # fmt: skip
def test_what_is_no_mask_is_refused(text: Any) -> None:
    with pytest.raises(DefinitionError, match="null, hash, bucket"):
        Mask.of(text)


@pytest.mark.parametrize("more", [{"mask": "null"}, {"mask": "null", "personal": "phi",
                                                     "forbid": True}, {"mask": 7}])  # fmt: skip
def test_a_grant_masks_classes_that_it_allows(more: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="mask"):
        sl.Grant("g", to="*", read="*", **more)


def test_masks_round_trip_and_grants_without_one_are_kept_as_they_were() -> None:
    for text in ("null", "hash", "bucket:1234567", "bucket:0.25", "round:-3", "round:2"):
        grant = sl.Grant("g", to="*", read="*", personal="phi", mask=text)
        assert sl.Grant.from_dict(grant.to_dict()).mask == grant.mask == Mask.of(text)
        assert grant.to_dict()["mask"] == text
    assert "mask" not in sl.Grant("g", to="*", read="*").to_dict()


TYPES = (Bool, Bytes, Date, Float32, Float64, Int32, Int64, String, List(Int64))
VALUES = {
    "bool": some.booleans(), "bytes": some.binary(), "date": some.dates(), "str": some.text(),
    "float32": some.floats(width=32), "float64": some.floats(), "list": some.just([1, 2]),
    "int32": some.integers(-(2**31), 2**31 - 1), "int64": some.integers(-(2**63), 2**63 - 1),
}  # fmt: skip
SOME_MASKS = some.sampled_from(
    ["null", "hash", "bucket:100", "bucket:0.5", "bucket:1e300", "round:-2", "round:1", "round:300"]
).map(Mask.of)


@given(mask=SOME_MASKS, data=some.data())
def test_a_masked_value_keeps_its_type_and_says_masked(mask: Mask, data: Any) -> None:
    dtype = data.draw(some.sampled_from(TYPES))
    value = data.draw(VALUES[dtype.kind])
    status = data.draw(some.sampled_from([s for s in Status if s is not Status.BUILDING]))
    rows, statuses, events = Masks((mask,), (dtype,), KEYED)(([[value]], [[status]], [[5]]))
    assert statuses == [[Status.MASKED]]
    assert events == [[None]]
    shown = rows[0][0]
    assert shown is None or mask.shows(dtype)
    assert shown is None or dtype.coerce(shown) == shown
    assert pa.array([shown], dtype.arrow()).type == dtype.arrow()
    if shown is not None and mask.kind == "bucket":
        assert shown <= value or math.isclose(shown, value, rel_tol=1e-6)


def test_a_hash_keeps_equal_values_equal_under_one_key_alone() -> None:
    def of(value: Any, keyed: KeyedHash = KEYED) -> Any:
        dtype = String if isinstance(value, str) else Int64
        return Masks((Mask.of("hash"),), (dtype,), keyed)(([[value]], [[Status.PRESENT]], [[1]]))[0]

    assert of("Ada") == of("Ada") != of("Ida")
    assert of("Ada") != of("Ada", KeyedHash(b"j" * 32))
    assert of(7) == of(7) != of(8)


def test_values_that_are_building_stay_so_and_rows_of_others_are_left_alone() -> None:
    shared = [Status.BUILDING, Status.PRESENT]
    given = ([[None, 7.0]] * 2, [shared] * 2, [[None, 5]] * 2)
    rows, statuses, _ = Masks((Mask.of("null"),) * 2, (Float64,) * 2, KEYED)(given)
    assert (rows, statuses) == ([[None, None]] * 2, [[Status.BUILDING, Status.MASKED]] * 2)
    assert given[1] == [[Status.BUILDING, Status.PRESENT]] * 2


def test_a_grant_without_a_mask_goes_before_one_with(tmp_path: Path) -> None:
    plain = sl.Grant("z", to="service:ads", read="Spend:total", personal=["sensitive"])
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply([SPEND, ADS, plain])
        access = Access(fs.runtime.state(fresh=True))
    ads = Asker("service:ads")
    assert access.decide(ads, "Spend@v1:total").mask is None
    assert access.decide(ads, "Spend@v1:rough").mask is None
    assert not access.decide(ads, "Spend@v1:holder").allowed


def test_whoever_reads_masked_may_not_see_everything(repo: Path) -> None:
    with sl.FeatureStore(repo) as fs:
        access = Access(fs.runtime.state(fresh=True))
    assert access.may_read_everything(Asker("user:dpo"))
    assert not access.may_read_everything(Asker("service:join"))


def test_a_process_that_acts_for_somebody_reads_as_grants_say(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    for actor in ("user:dpo", "service:ads", "service:join"):
        with opened(repo, actor, monkeypatch) as fs:
            result = fs.get_online_features(["Spend:total", "Spend:shops"], [{"card_id": "c1"}])
            seen[actor] = (result.to_rows()[0]["total"], result.to_statuses())
    present, masked = ["present"], ["masked"]
    assert seen == {
        "user:dpo": (1234.5, {"total": present, "shops": present}),
        "service:ads": (1000.0, {"total": masked, "shops": present}),
        "service:join": (None, {"total": masked, "shops": present}),
    }


def test_a_training_set_is_masked_and_says_so_in_its_file(
    repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spine = [{"card_id": "c1", "at": "2026-01-01T09:45:00Z"}]
    asked = ["Spend:total", "Spend:shops"]
    with opened(repo, "service:ads", monkeypatch) as fs:
        made = fs.get_historical_features(spine, asked, timestamp="at")
        assert made.to_dict()["total"] == [1000.0]
        assert "Masked, as grants say: total." in made.notes
        file = made.to_parquet(tmp_path / "set.parquet")
        assert pq.read_schema(file).metadata[MASKED_KEY] == b"total"
        assert made.head(1)["total"] == [1000.0]
        assert made.differences() == {"total": 0, "shops": 0}
        with pytest.raises(Forbidden):
            fs.get_historical_features(spine, MODEL, timestamp="at")
    with opened(repo, "user:dpo", monkeypatch) as fs:
        made = fs.get_historical_features(spine, asked, timestamp="at")
        assert made["total"] == [1234.5]
        assert MASKED_KEY not in (made.to_arrow().schema.metadata or {})


def test_what_shows_rows_or_plain_values_is_refused_in_process(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skewless.plugs.duckdb import connect

    reads: dict[str, Any] = {
        "explain": lambda fs: fs.explain("Spend:shops", {"card_id": "c1"}),
        "read_features": lambda fs: fs.read_features("Spend"),
        "statistics": lambda fs: fs.statistics("Spend"),
        "verify": lambda fs: fs.verify(),
        "replay": lambda fs: fs.replay("r-1"),
        "rebuild": lambda fs: fs.rebuild("t-1"),
        "backtest": lambda fs: fs.backtest([], "model"),
        "sql": connect,
        "online": lambda fs: fs.get_online_features("model", [{"card_id": "c1"}]),
    }
    for actor in ("service:ads", "service:stranger"):
        with opened(repo, actor, monkeypatch) as fs:
            for name, read in reads.items():
                with pytest.raises(Forbidden):
                    print(name, actor, read(fs))  # shown where it is not refused
    with opened(repo, "user:dpo", monkeypatch) as fs:
        assert fs.explain("Spend:total", {"card_id": "c1"}).value == 1234.5
        assert fs.read_features("Spend").num_rows > 0
    monkeypatch.delenv(VARIABLE)
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as fs:
        assert fs.explain("Spend:total", {"card_id": "c1"}).value == 1234.5


def test_a_new_grant_counts_in_a_process_that_is_open(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repo, "service:ads", monkeypatch) as fs:
        ask = lambda: fs.get_online_features("Spend:total", [{"card_id": "c1"}])  # noqa: E731
        assert ask().to_statuses() == {"total": ["masked"]}
        fs.apply([sl.Grant("no", to="service:ads", read="Spend:total", forbid=True)])
        with pytest.raises(Forbidden, match="forbids it"):
            ask()


@pytest.mark.parametrize(
    ("grants", "refused"),
    [
        ([], False),
        ([sl.Grant("a", to="*", read="*")], True),
        ([EVERY], False),
        ([ADS], True),
        ([ADS, sl.Grant("b", to="group:g", read="Spend", personal=["direct", "mnpi"])], False),
        ([EVERY, sl.Grant("no", to="*", read="Spend:holder", forbid=True)], True),
    ],
)  # fmt: skip
def test_a_service_that_reads_what_nobody_was_granted_is_refused_at_apply(
    tmp_path: Path, grants: list[sl.Grant], refused: bool
) -> None:
    with sl.FeatureStore(tmp_path) as fs:
        if refused:
            with pytest.raises(DefinitionError, match="'model' reads data that nobody was granted"):
                fs.apply([SPEND, MODEL, *grants])
            assert not fs.runtime.state(fresh=True).services
        else:
            fs.apply([SPEND, MODEL, *grants])


def test_a_grant_that_goes_and_a_column_that_gets_a_class_are_refused_too(tmp_path: Path) -> None:
    shops = sl.FeatureService("shops", ["Spend:shops"])
    open_to_all = sl.Grant("all", to="*", read="*")
    marked = sl.Source("pays", event_time="at", schema={
        **{name: sl.Column(dtype) for name, dtype in PAYS.columns.items()},
        "shop": sl.Column(str, phi=True)})  # fmt: skip
    views = [
        sl.FeatureView("Spend", entity=CARD, source=marked, features={
            **SPEND.expressions, "shops": shop})
        for shop in (
            marked.shop.n_unique("1h"), marked.shop.n_unique("1h").declassify("a number of shops"))
    ]  # fmt: skip
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply([SPEND, shops, open_to_all])
        with pytest.raises(DefinitionError, match="Spend@v1:shops: phi \\(pays.shop\\)"):
            fs.plan(views[0])
        fs.apply(views[1])
        narrow = sl.Grant("all", to="*", read="Spend:total")
        fs.apply(narrow)  # shops has no class: a service may wait for a grant of it


def test_a_short_secret_and_a_damaged_key_are_refused(tmp_path: Path) -> None:
    keyed = lambda: KeyedHash.read(Config.read(tmp_path))  # noqa: E731
    made = keyed()
    file = tmp_path / ".skewless" / "access.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert keyed().id == made.id
    file.write_text("x")
    with pytest.raises(sl.SkewlessError, match="damaged"):
        keyed()
    (tmp_path / "skewless.toml").write_text('[access]\nsecret = "short"\n')
    with pytest.raises(ConfigError, match="too short"):
        keyed()
    (tmp_path / "skewless.toml").write_text(f'[access]\nsecret = "{"s" * 32}"\n')
    with sl.FeatureStore(tmp_path) as fs:
        assert keyed().id != made.id
        assert "ssss" not in str(fs.config.to_dict())


def test_search_filters_by_every_class(repo: Path) -> None:
    with sl.FeatureStore(repo) as fs:
        found = lambda text: {hit["name"] for hit in fs.search(text, 20)}  # noqa: E731
        assert found("mnpi:yes") == {"code"}
        assert found("pii:sensitive") == {"total"}
        assert found("pii:none mnpi:no") == {"shops", "rough"}
        assert found("phi:yes") == set()
        assert found("-phi:yes -mnpi:yes pii:direct") == {"holder"}


def test_the_command_says_what_is_masked(repo: Path) -> None:
    why = ("access", "why", "service:ads", "Spend:total")
    assert "allows it, masked: bucket:1000" in ran(run_in(repo, *why)).output
    assert data_of(run_in(repo, *why, "--json"))["mask"] == "bucket:1000"


def test_a_process_that_acts_for_somebody_else_from_now_on_is_shown_what_they_may_see(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "user:dpo")
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as fs:
        asked = ["Spend:total"], [{"card_id": "c1"}]
        assert fs.get_online_features(*asked).to_dict()["total"] == [1234.5]
        monkeypatch.setenv(VARIABLE, "service:ads")
        found = fs.get_online_features(*asked)
        assert found.to_dict()["total"] == [1000.0]
        assert found.statuses == [[Status.MASKED]]
