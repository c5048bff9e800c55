"""The demo: New York's flights of 2013 trained on, served and compared, end to end.

    skewless demo                 # in a terminal
    main(Path("skewless-demo"))   # the same

It leaves a repo behind: definitions (`features.py`), data, a registry, an online store with a day's
pushes in it, and a plot.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["main"]


def main(folder: Path, *, as_json: bool = False, days: int | None = None) -> None:
    """Run the demo in a folder, printing what it does.

    Args:
        folder: new, empty, or one that an earlier run of the demo made.
        as_json: print one JSON object at the end instead of text.
        days: of 2013 to take, from the first on; None for the whole year. The last one is replayed.

    Raises:
        InputError: the folder holds something else.
        MissingDependency: ``skewless[demo]`` is not installed.
    """
    from skewless.demo.report import Report
    from skewless.demo.story import tell

    report = Report(quiet=as_json)
    facts = tell(Path(folder), report, days)
    if as_json:
        import msgspec

        print(msgspec.json.encode(facts).decode())
