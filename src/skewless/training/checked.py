"""Checks of the features of a training set: what fails is noted, or the set is refused."""

from __future__ import annotations

from collections.abc import Iterator

from skewless.checks.results import CheckResult, blocked
from skewless.checks.tallies import Tally
from skewless.definitions.checks import Check
from skewless.ledger.ledger import Ledger
from skewless.plan.results import TrainingSet
from skewless.plan.selection import Selection
from skewless.training.frame_training_set import FrameTrainingSet

KIND = "check"
POINT = "training set"


def features_checked(ledger: Ledger, made: TrainingSet) -> tuple[str, ...]:
    """Check the features of a training set, and return a note for each check that fails.

    A check is carried out where all features that it is about are in the set. A frame of an engine
    is not checked: its rows are not computed yet.

    Args:
        ledger: takes what was found.
        made: the training set.

    Raises:
        CheckFailed: a check whose action is ``block`` does not hold.
    """
    results: list[CheckResult] = []
    if isinstance(made, FrameTrainingSet):
        return ()
    for label, checks, names in _wanted(made.plan.selection):
        tally = Tally(checks, of=label)
        tally.add(made.to_arrow().select(list(names.values())).rename_columns(list(names)))
        results += noted(ledger, POINT, tally.results())
    blocked(results, "the training set")
    return tuple(f"A check fails: {each}." for each in results if not each.ok)


def noted(ledger: Ledger, point: str, results: list[CheckResult]) -> list[CheckResult]:
    """Put what the checks of one source or view found into the ledger, and return it."""
    if results:
        data = {"of": results[0].of, "point": point, "rows": results[0].rows}
        ledger.record(KIND, data | {"results": [each.to_dict() for each in results]})
    return results


def _wanted(selection: Selection) -> Iterator[tuple[str, list[Check], dict[str, str]]]:
    """Yield for each view its checks that can be carried out, and feature to column."""
    for need in selection.views:
        label = f"{need.view.name}@v{need.version}"
        names = {
            output.feature: output.name
            for output in selection.outputs
            if (output.view, output.version) == (need.view.name, need.version)
        }
        checks = [check for check in need.view.checks if set(check.columns) <= names.keys()]
        if checks and names:
            yield label, checks, names
