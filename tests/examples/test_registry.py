"""The registry example runs from top to bottom, in a process of its own."""

from __future__ import annotations

import re

import pytest

from tests.examples.running import compared, printed, promises


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return printed("registry", tmp_path_factory.mktemp("elsewhere"), pictures=1)


def test_a_thousand_features_keep_to_the_rules(output: str) -> None:
    assert "SYNTHETIC" in output.splitlines()[0]
    assert "1000 features; 0 do not keep to the rules of [lint]" in output


def test_a_view_written_in_a_hurry_is_refused_with_all_that_is_wrong(output: str) -> None:
    for what in (
        "it is not named like [A-Z][a-z]+",
        "its owner 'me' is none of",
        "has no description",
        "the feature 'vminHot' is not named like",
        "promises no freshness",
    ):
        assert f"feature view Sram_v2_NEW: {what}" in output


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("jitter of clock generators", "Pll@v1:pll_jitter"),
        ("least supply voltage static memory after burn-in", "Sram@v1:sram_vmin_aged"),
        ("quiescent current owner:leakage-team", "Leakage@v1:leakage_iddq"),
        ("tag:family=adc noise at 85 degrees", "Adc@v1:adc_noise_85c"),
    ],
)
def test_search_finds_one_of_a_thousand(output: str, asked: str, first: str) -> None:
    found = output.split(f"== Search: {asked} ")[1].splitlines()[1]
    assert found.strip().startswith(first)


def test_second_results_promise_what_serving_does_not_keep(output: str) -> None:
    assert "No leak found in 1000 columns." in output
    auc = promises(output)
    assert auc["known"][0] == auc["known"][1] > 0.7
    for kind in ("naive-latest", "event_time"):
        assert auc[kind][0] > auc[kind][1] + 0.2


def test_vectors_of_a_thousand_features_are_served_as_they_are_trained(output: str) -> None:
    assert compared(output) == 20 * 1000


def test_what_has_moved_is_seen(output: str) -> None:
    moved = re.findall(r"^  (\w+) +([+-][\d.]+) standard errors$", output, re.MULTILINE)
    drifting = {"sram_vmin_125c", "sram_vmin_aged", "sram_idd_125c", "pll_jitter_85c"}
    assert {name for name, _ in moved[:5]} == drifting | {"pll_jitter_125c"}
