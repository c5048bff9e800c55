"""What docs/plug-ins.md has a newcomer write passes the suites that it has them inherit."""

import re
from pathlib import Path

import skewless.testing.engine
import skewless.testing.offline_store
import skewless.testing.online_store
import skewless.testing.registry
import skewless.testing.stream
from skewless.plugins import BUILT_IN

PAGE = Path(__file__).parents[2] / "docs" / "plug-ins.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
GROUPS = {"online_store", "table", "stream", "registry", "engine"}

exec(compile("\n".join(BLOCKS), str(PAGE), "exec"))


def test_the_page_names_every_suite_and_group() -> None:
    suites = re.findall(r"`skewless\.testing\.(\w+)\.(\w+)`", TEXT)
    assert len(suites) == 5
    assert all(hasattr(getattr(skewless.testing, module), name) for module, name in suites)
    assert {f"skewless.{group}" for group in GROUPS} <= set(
        re.findall(r"\| `(skewless\.\w+)` \|$", TEXT, re.MULTILINE)
    )
    assert BUILT_IN.keys() >= GROUPS


def test_the_suites_of_the_page_are_tests_here() -> None:
    assert {"TestMailbox", "TestFileRegistry", "TestProcessEngine"} <= globals().keys()
