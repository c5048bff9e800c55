"""Examples of docs/plugs.md that need a tool, run where it is."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "plugs.md"
MOST_LINES = 15


def run_example(heading, monkeypatch, folder, **given):
    """Run the first example below a heading, after that of the page's top; return its names."""
    monkeypatch.chdir(folder)
    page = PAGE.read_text("utf-8")
    top, *_ = _blocks(page)
    example, *_ = _blocks(page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0])
    assert len([line for line in example.splitlines() if line.strip()]) <= MOST_LINES
    names = {}
    exec(compile(top, "docs/plugs.md", "exec"), names)
    names |= given
    exec(compile(example, f"docs/plugs.md, {heading}", "exec"), names)
    names["fs"].close()
    return names


def _blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
