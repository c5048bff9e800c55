"""The tutorial shows the demo's definitions as they are."""

from __future__ import annotations

import re
from pathlib import Path

import skewless.demo

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"<!-- features.py -->\n```python\n(.*?)```", re.DOTALL)


def test_the_tutorial_shows_what_features_py_says() -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    features = Path(skewless.demo.__file__).parent / "flights" / "features.py"
    shown = SHOWN.findall(text)
    assert len(shown) == 3
    code = " ".join(features.read_text(encoding="utf-8").split())
    assert [block for block in shown if " ".join(block.split()) not in code] == []


def test_how_it_works_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", text)) - {"src/skewless/"}
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / "src" / "skewless" / name).exists()] == []
