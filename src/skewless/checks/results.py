"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from skewless.errors import CheckFailed


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        of: the source (``pays``) or the version of a view (``Spend@v1``).
        check: what was expected, in words.
        kind: of the check.
        ok: whether it holds.
        rows: that were looked at.
        failing: of these, how many fail; of checks that look at all rows at once 0 or 1.
        found: what was found, in words; empty where ``failing`` says it.
        examples: some values that fail.
        action: ``warn`` or ``block``.
    """

    of: str
    check: str
    kind: str
    ok: bool
    rows: int
    failing: int
    found: str = ""
    examples: tuple[str, ...] = ()
    action: str = "warn"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return vars(self) | {"examples": list(self.examples)}

    def __str__(self) -> str:
        if self.ok:
            return f"{self.of}: {self.check}: holds for {self.rows:,} rows"
        said = self.found or f"{self.failing:,} of {self.rows:,} rows fail"
        shown = f", such as {', '.join(self.examples)}" if self.examples else ""
        return f"{self.of}: {self.check}: {said}{shown}"


def blocked(results: Iterable[CheckResult], what: str) -> None:
    """Raise where a check that blocks has failed.

    Args:
        results: of checks.
        what: is refused.

    Raises:
        CheckFailed: a check whose action is ``block`` does not hold.
    """
    failed = tuple(each for each in results if not each.ok and each.action == "block")
    if not failed:
        return
    more = f" (and {len(failed) - 1} other checks)" if len(failed) > 1 else ""
    problem = CheckFailed(
        f"{what} is refused: a check fails", got=f"{failed[0]}{more}",
        hint="With action='warn' it is told and recorded, and nothing is refused.",
    )  # fmt: skip
    problem.results = failed
    raise problem
