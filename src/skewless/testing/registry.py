"""The conformance suite of registries: what every registry must pass, shipped for yours too.

    pytest.register_assert_rewrite("skewless.testing")     # before the import: readable failures
    from skewless.testing.registry import RegistrySuite

    class TestMyRegistry(RegistrySuite):
        @pytest.fixture
        def open_registry(self, tmp_path):
            return functools.partial(MyRegistry, tmp_path / "registry")

`open_registry` returns what opens a registry in the same place each time it is called; a test finds
the place empty.
"""

# ruff: noqa: D102 - the names of the tests say it

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from skewless.clock import SECOND
from skewless.definitions import Entity, FeatureView, Source
from skewless.definitions.repo import Definitions
from skewless.definitions.words import Column
from skewless.errors import BreakingChange, ConcurrentApply, InputError, RegistryError, UnknownName
from skewless.plan.apply.diff import diff
from skewless.registry.base import Registry, copy
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.shop import applied, fraud, payments, ratio, shop, spend


class RegistrySuite:
    """Inherit it and say how to open the registry."""

    @pytest.fixture
    def open_registry(self) -> Callable[[], Registry]:
        """Override: return what opens the registry."""
        pytest.fail(f"{type(self).__name__} must override the fixture open_registry")

    @pytest.fixture
    def registry(self, open_registry: Callable[[], Registry]) -> Iterator[Registry]:
        """Give one open registry."""
        with open_registry() as registry:
            yield registry

    def test_a_new_registry_is_empty(self, registry: Registry) -> None:
        state = registry.state()
        assert (state.revision, state.records, registry.history()) == (0, (), [])
        assert (registry.intervals("Spend", 1), registry.get_progress("x")) == ([], None)

    def test_definitions_come_back_as_they_went_in(self, registry: Registry) -> None:
        wanted = shop()
        applied(registry, wanted)
        state = registry.state()
        assert state.entities["card"].to_dict() == wanted.entities["card"].to_dict()
        assert state.sources["payments"].to_dict() == wanted.sources["payments"].to_dict()
        assert state.views["Spend", 1].to_dict() == wanted.views["Spend"].to_dict()
        assert state.views["Spend", 1].fingerprint == wanted.views["Spend"].fingerprint
        assert state.services["fraud"].to_dict() == wanted.services["fraud"].to_dict()
        assert state.pins == {"fraud": ("Spend@v1:mean", "Payment@v1:ratio")}
        assert [ref.reference for ref in state.on_demand["Payment", 1].refs] == ["Spend@v1:mean"]

    def test_words_come_back_as_they_were_said(self, registry: Registry) -> None:
        words = {"unit": "V", "between": (0.5, 1.5), "pii": "quasi", "tags": {"line": 3}}
        tests = Source(
            "tests",
            schema={"fab": str, "vdd": Column(float, "supply voltage", **words)},
            event_time="at",
        )
        seen = tests.vdd.mean("1h").describe("of late", unit="V")
        fab = FeatureView(
            "Fab", entity=Entity("fab", fab=str), source=tests, features={"vdd": seen}
        )
        applied(registry, Definitions.of(fab))
        state = registry.state()
        assert state.sources["tests"].words == tests.words
        assert state.views["Fab", 1].words == fab.words

    def test_views_of_the_current_source_share_it(self, registry: Registry) -> None:
        applied(registry, shop())
        state = registry.state()
        assert state.views["Spend", 1].source is state.sources["payments"]
        assert state.views["Spend", 1] is state.view("Spend")

    def test_an_unchanged_registry_answers_none(self, registry: Registry) -> None:
        applied(registry, spend())
        assert registry.state(if_newer_than=1) is None
        assert registry.state(if_newer_than=0) == registry.state()

    def test_an_empty_plan_makes_no_revision(self, registry: Registry) -> None:
        applied(registry, spend())
        applied(registry, spend())
        assert registry.state().revision == 1

    def test_the_history_tells_who_did_what(self, registry: Registry) -> None:
        applied(registry, spend())
        plan = applied(registry, spend("14d"))
        newest, oldest = registry.history()
        assert (newest.number, newest.who, newest.summary) == (2, "ada", "~Spend")
        assert newest.plan == plan.to_dict()
        assert oldest.summary == "+card +payments +Spend"
        assert abs(newest.at - oldest.at) < 60 * SECOND
        assert registry.history(limit=1) == [newest]

    def test_without_a_name_the_history_has_user_and_host(self, registry: Registry) -> None:
        registry.apply(diff(registry.state(), Definitions.of(spend())))
        assert "@" in registry.history()[0].who

    def test_of_two_plans_of_one_revision_the_second_is_refused(self, registry: Registry) -> None:
        first = diff(registry.state(), Definitions.of(spend()))
        second = diff(registry.state(), Definitions.of(spend("14d")))
        registry.apply(first, who="ada", summary="the first")
        with pytest.raises(ConcurrentApply, match=r"revision 1 \(ada on 2.*Z: the first\)"):
            registry.apply(second, who="grace")
        assert registry.state().view("Spend").to_dict() == spend().to_dict()

    def test_an_empty_plan_of_an_older_revision_is_refused_too(self, registry: Registry) -> None:
        empty = diff(registry.state(), Definitions.of())
        applied(registry, spend())
        with pytest.raises(ConcurrentApply):
            registry.apply(empty)

    def test_a_breaking_plan_must_be_allowed(self, registry: Registry) -> None:
        applied(registry, shop())
        plan = diff(registry.state(), Definitions.of(spend(features={"n": payments().count("1d")})))
        with pytest.raises(BreakingChange, match=r"no longer has the feature 'mean'.*fraud"):
            registry.apply(plan)
        assert registry.state().revision == 1
        assert registry.apply(plan, allow_breaking=True) == 2

    # ----------------------------------------------------------------------------------- retirement

    def test_a_retired_version_no_longer_serves(self, registry: Registry) -> None:
        applied(registry, spend())
        applied(registry, spend("14d"))
        registry.add_interval("Spend", 1, 0, 10)
        assert registry.retire("Spend", 1, who="ada") == 3
        state = registry.state()
        assert (list(state.views), list(state.retired)) == ([("Spend", 2)], [("Spend", 1)])
        assert registry.intervals("Spend", 1) == []
        assert registry.history()[0].summary == "retired Spend@v1"
        with pytest.raises(RegistryError, match=r"Spend@v1 was retired on .*serve: v2"):
            state.view("Spend", 1)

    def test_the_current_version_is_not_retired(self, registry: Registry) -> None:
        applied(registry, spend())
        with pytest.raises(RegistryError, match="Spend@v1 is the current version"):
            registry.retire("Spend", 1)

    def test_a_pinned_version_is_not_retired(self, registry: Registry) -> None:
        applied(registry, spend(), fraud("Spend:mean"))
        applied(registry, spend("14d"))
        with pytest.raises(RegistryError, match="pinned by feature service fraud"):
            registry.retire("Spend", 1)

    def test_a_service_has_its_pins_until_it_is_settled_on_those_that_are_pending(
        self, registry: Registry
    ) -> None:
        applied(registry, shop())
        old = registry.state().pins["fraud"]
        plan = diff(registry.state(), shop("14d"), repin=True)
        (new,) = [record for record in plan.writes if record.kind == "feature service"]
        waiting = replace(new, pins=old, pending=new.pins)
        writes = tuple(waiting if record is new else record for record in plan.writes)
        registry.apply(replace(plan, writes=writes))
        state = registry.state()
        assert (state.pins["fraud"], state.wanted_pins["fraud"]) == (old, new.pins)
        with pytest.raises(RegistryError, match="pinned by feature service fraud"):
            registry.retire("Spend", 1)
        assert not registry.settle("fraud", old)
        assert not registry.settle("fraud", ())
        assert registry.settle("fraud", new.pins)
        assert not registry.settle("fraud", new.pins)
        settled = registry.state()
        assert (settled.pins["fraud"], settled.wanted_pins["fraud"]) == (new.pins, new.pins)
        assert settled.revision == state.revision

    def test_a_version_that_an_on_demand_view_takes_is_not_retired(
        self, registry: Registry
    ) -> None:
        applied(registry, spend(), ratio())
        applied(registry, spend("14d"))
        with pytest.raises(RegistryError, match="pinned by on-demand view Payment@v1"):
            registry.retire("Spend", 1)
        registry.retire("Payment", 1)
        registry.retire("Spend", 1)
        assert list(registry.state().views) == [("Spend", 2)]

    def test_an_unknown_version_is_not_retired(self, registry: Registry) -> None:
        applied(registry, spend())
        with pytest.raises(UnknownName, match="'v9'"):
            registry.retire("Spend", 9)

    # ---------------------------------------------------------------------------------- deprecation

    @pytest.mark.parametrize("target", ["Spend", "Spend@v1", "Spend:mean", "fraud"])
    def test_a_deprecation_is_listed(self, registry: Registry, target: str) -> None:
        applied(registry, shop())
        registry.deprecate(target, "old currency", sunset=date(2030, 1, 31), who="ada")
        (notice,) = registry.state().deprecations
        assert replace(notice, at=0) == replace(
            notice, target=target, reason="old currency", sunset=date(2030, 1, 31), who="ada", at=0
        )
        assert registry.history()[0].summary == f"deprecated {target}"

    def test_a_deprecation_in_a_definition_is_listed(self, registry: Registry) -> None:
        applied(registry, spend(deprecated="use Spend2", sunset="2030-01-31"))
        (notice,) = registry.state().deprecations
        assert (notice.target, notice.reason) == ("Spend", "use Spend2")
        assert notice.sunset == date(2030, 1, 31)

    def test_a_deprecation_without_a_reason_is_taken_back(self, registry: Registry) -> None:
        applied(registry, spend())
        registry.deprecate("Spend", "old currency")
        registry.deprecate("Spend", "")
        assert registry.state().deprecations == ()

    def test_a_deprecation_of_nothing_names_what_there_is(self, registry: Registry) -> None:
        applied(registry, shop())
        with pytest.raises(UnknownName, match=r"'Spent'.*Did you mean 'Spend'"):
            registry.deprecate("Spent", "old")
        with pytest.raises(UnknownName, match=r"'meen'.*Did you mean 'mean'"):
            registry.deprecate("Spend:meen", "old")

    def test_a_deprecation_goes_with_what_it_is_of(self, registry: Registry) -> None:
        applied(registry, spend())
        registry.deprecate("Spend:mean", "old")
        applied(registry, removing=True)
        assert registry.state().deprecations == ()

    # ------------------------------------------------------------------------------------- progress

    def test_neighbouring_intervals_become_one(self, registry: Registry) -> None:
        for start, end in [(10, 20), (30, 40), (20, 30), (100, 110), (5, 12)]:
            registry.add_interval("Spend", 1, start, end)
        assert registry.intervals("Spend", 1) == [(5, 40), (100, 110)]
        assert registry.intervals("Spend", 2) == []
        registry.forget_intervals("Spend", 1)
        assert registry.intervals("Spend", 1) == []

    def test_an_interval_ends_after_it_starts(self, registry: Registry) -> None:
        registry.add_interval("Spend", 1, 10, 10)
        assert registry.intervals("Spend", 1) == []
        with pytest.raises(InputError, match="ends before it starts"):
            registry.add_interval("Spend", 1, 10, 9)

    def test_intervals_make_no_revision(self, registry: Registry) -> None:
        applied(registry, spend())
        registry.add_interval("Spend", 1, 0, 10)
        assert registry.state(if_newer_than=1) is None

    def test_progress_is_kept_replaced_listed_and_removed(self, registry: Registry) -> None:
        registry.set_progress("job/a", {"at": 1, "done": [1, 2]})
        registry.set_progress("job/a", {"at": 2})
        registry.set_progress("job/b", 7)
        registry.set_progress("other", "x")
        assert registry.get_progress("job/a") == {"at": 2}
        assert registry.progress("job/") == {"job/a": {"at": 2}, "job/b": 7}
        registry.set_progress("job/a", None)
        assert registry.get_progress("job/a") is None

    # -------------------------------------------------------------------------------------- copying

    def test_a_copy_holds_everything(self, registry: Registry, tmp_path: Path) -> None:
        applied(registry, shop())
        applied(registry, shop("14d"))
        registry.add_interval("Spend", 1, 0, 10)
        registry.set_progress("job", 1)
        registry.deprecate("Spend@v1", "old", sunset=date(2030, 1, 1))
        with SQLiteRegistry(tmp_path / "copy.db") as target:
            assert copy(registry, target) == 3
            assert target.dump() == registry.dump()
            assert target.state() == registry.state()
            applied(target, shop("30d"))
            assert target.state().current["Spend"] == 3

    def test_a_registry_in_use_is_no_target_of_a_copy(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        with SQLiteRegistry(tmp_path / "copy.db") as target:
            applied(target, spend())
            with pytest.raises(RegistryError, match="empty"):
                copy(registry, target)

    # -------------------------------------------------------------------------------------- threads

    def test_threads_of_one_process_lose_nothing(self, registry: Registry) -> None:
        refused: list[int] = []

        def work(number: int) -> None:
            for day in range(5):
                registry.add_interval(
                    "Spend", 1, (number * 5 + day) * 10, (number * 5 + day) * 10 + 5
                )
                while True:
                    tagged = spend(tags={"by": f"{number}-{day}"})
                    try:
                        registry.apply(diff(registry.state(), Definitions.of(tagged)))
                        break
                    except ConcurrentApply:
                        refused.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert registry.state().revision == len(registry.history()) == 20
        assert len(registry.intervals("Spend", 1)) == 20

    # ------------------------------------------------------------------------- several in one place

    def test_what_was_applied_is_there_when_it_is_opened_again(
        self, open_registry: Callable[[], Registry]
    ) -> None:
        with open_registry() as first:
            applied(first, shop())
            first.set_progress("job", {"at": 1})
            kept = first.dump()
        with open_registry() as again:
            assert again.dump() == kept
            assert again.state().current == {"Spend": 1, "Payment": 1}
            assert again.get_progress("job") == {"at": 1}

    def test_one_sees_what_another_applies(
        self, registry: Registry, open_registry: Callable[[], Registry]
    ) -> None:
        assert registry.state().revision == 0
        with open_registry() as other:
            applied(other, spend())
            stale = diff(registry.state(), Definitions.of(spend("14d")))
            applied(other, spend("30d"))
        with pytest.raises(ConcurrentApply):
            registry.apply(stale)
        assert registry.state(if_newer_than=1) == registry.state()

    def test_a_closed_registry_says_so(self, open_registry: Callable[[], Registry]) -> None:
        registry = open_registry()
        applied(registry, spend())
        registry.close()
        registry.close()
        with pytest.raises(RegistryError, match="closed"):
            registry.state()
