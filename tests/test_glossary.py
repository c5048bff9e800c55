"""Every public class is explained in the glossary, by its own name."""

import inspect
import re
from pathlib import Path

import skewless

GLOSSARY = Path(__file__).parent.parent / "docs" / "glossary.md"


def test_every_public_class_is_in_the_glossary() -> None:
    words = set(re.findall(r"\w+", GLOSSARY.read_text(encoding="utf-8")))
    public = [name for name in skewless.__all__ if inspect.isclass(getattr(skewless, name))]
    assert public, "skewless.__all__ names no class"
    assert [name for name in public if name not in words] == []
