"""What errors, hints and notes say to people who call Python, in the words of the command line.

>>> in_shell("Pass full_names=True to name columns View__feature.")
'Pass --full-names to name columns View__feature.'
"""

from __future__ import annotations

import re

_WORDS = (
    (r"allow it: apply\(plan, allow_breaking=True\)", "allow it: skewless apply --allow-breaking"),
    (r"re-apply with repin to move to", "skewless apply --repin SERVICE moves it to"),
    (r"full_names=True", "--full-names"),
    (r"push\(\.\.\., backdate=True\)", "skewless push --backdate"),
    (r"backdate=True", "--backdate"),
    (r"as_of='event_time'", "--as-of event_time"),
    (
        r"such as datetime\(\.\.\., tzinfo=timezone\.utc\)",
        "such as 2026-11-30T00:00:00Z or 2026-11-30T01:00:00+01:00",
    ),
    (r"If it is UTC say so: value\.replace\(tzinfo=timezone\.utc\)", "If it is UTC, end it with Z"),
    (r"quarantine\(\) lists them", "skewless quarantine SOURCE lists them"),
    (r"plan\(removing=True\) removes it", "In Python, fs.plan(removing=True) removes it"),
    (r"plan again\b", "skewless plan"),
)
_RULES = tuple((re.compile(pattern), words) for pattern, words in _WORDS)


def in_shell(text: str) -> str:
    """Return a text with options and commands in place of arguments and methods."""
    for pattern, words in _RULES:
        text = pattern.sub(words, text)
    return text
