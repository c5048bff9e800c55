"""The examples of README.md and docs/*.md run.

The ```python blocks of a page run in order, in one namespace and an empty directory. A block
below `<!-- skip: reason -->` is reported as skipped. Of ```console blocks, the lines
`$ skewless ...` must name a command and options that exist.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import skewless

ROOT = Path(__file__).parent.parent
PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.exists()
]
FENCE = re.compile(
    r"(?:^<!-- skip: (?P<skip>[^\n]+?) -->\n\s*)?^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
END_OF_COMMAND = {"|", ">", ">>", "<", "&", "&&", "||", ";"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line its code starts on, the reason to skip it if any."""

    page: Path
    line: int
    language: str
    code: str
    skip: str | None

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(page, line, match["language"], match["code"], match["skip"])


def commands_of(block: Block) -> Iterator[list[str]]:
    """Arguments of each `$ skewless ...` line, up to a pipe or the end of the command."""
    for line in block.code.replace("\\\n", " ").splitlines():
        if line.startswith("$ skewless"):
            lexer = shlex.shlex(line[2:], posix=True, punctuation_chars=True)
            words = list(lexer)[1:]
            end = next((i for i, word in enumerate(words) if word in END_OF_COMMAND), len(words))
            yield words[:end]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
COMMANDS = {
    shlex.join(arguments): (block.name, arguments)
    for block in BLOCKS
    if block.language == "console" and not block.skip
    for arguments in commands_of(block)
}


@pytest.mark.parametrize(
    "page", sorted({b.page for b in PYTHON if not b.skip}), ids=lambda page: page.name
)
def test_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A real module with the page as its file: tracebacks and inspect.getsource show the page.
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    module.__file__ = str(page)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in PYTHON:
        if block.page == page and not block.skip:
            padded = "\n" * (block.line - 1) + block.code
            exec(compile(padded, str(page), "exec"), module.__dict__)


@pytest.mark.parametrize("block", [b for b in PYTHON if b.skip], ids=lambda block: block.name)
def test_skipped_example_says_why(block: Block) -> None:
    pytest.skip(f"{block.name}: {block.skip}")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_in_the_docs_exists(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from skewless.cli.main import main

    where, arguments = COMMANDS[command]
    # --help comes before the command's work, but after its options were looked up.
    monkeypatch.setattr(sys, "argv", ["skewless", *arguments, "--help"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code in (0, None), f"{where}: skewless {command}"


def test_there_are_pages_to_check() -> None:
    """Without pages the tests above would pass and have tested nothing."""
    needed = {ROOT / "README.md", ROOT / "docs" / "glossary.md"}
    assert needed - set(PAGES) == set()


PUBLIC = [
    *((name, name) for name in skewless.__all__),
    *(
        (f"{kind.__name__}.{name}", name)
        for kind in (skewless.FeatureStore, skewless.Client)
        for name in vars(kind)
        if not name.startswith("_")
    ),
]


@pytest.mark.parametrize(("name", "word"), PUBLIC)
def test_public_name_is_in_the_docs(name: str, word: str) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert re.search(rf"\b{word}\b", pages), f"no page speaks of {name}"
