"""The site of the docs: its made pages say all there is, its navigation has every page.

That it builds strictly, with every link and anchor, is `make docs`, a step of CI.
"""

import doctest
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from skewless.aggregations import AGGREGATIONS
from skewless.cli.main import COMMANDS
from skewless.plugins import BUILT_IN
from skewless.serving.operate.metrics import Metrics

ROOT = Path(__file__).parent.parent
TOOLS = ("check_site", "docs_pages", "docs_site", "support_table")


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        for name in TOOLS:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: __import__(name) for name in TOOLS}


@pytest.fixture(scope="module")
def pages(tools: dict[str, ModuleType]) -> dict[str, str]:
    made: dict[str, str] = tools["docs_pages"].pages()
    return made


def paths_of(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for inner in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from paths_of(inner)


def test_every_page_is_in_the_navigation(
    tools: dict[str, ModuleType], pages: dict[str, str]
) -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    docs = ROOT / "docs"
    shown = list(paths_of(tools["docs_site"].unfolded(site["nav"], docs)))
    kept = [page.relative_to(docs).as_posix() for page in docs.rglob("*.md")]
    there = [*kept, *pages, *tools["docs_site"].ELSEWHERE.values()]
    assert sorted(shown) == sorted(there), "name the page below `nav:` in mkdocs.yml"


def test_nothing_that_was_made_is_kept_in_the_repo(pages: dict[str, str]) -> None:
    assert [page for page in pages if (ROOT / "docs" / page).exists()] == []


def test_all_that_there_is_has_its_place(pages: dict[str, str]) -> None:
    wanted = {
        "reference/commands.md": [
            f"### `skewless {name}`\n" for names in COMMANDS.values() for name in names
        ],
        "reference/metrics.md": [f"| `{metric.name}` |" for metric in Metrics().all],
        "reference/aggregations.md": [f"| `{name}` |" for name in AGGREGATIONS],
        "reference/settings.md": [
            f'### `kind = "{kind}"`\n'
            for kind in {*BUILT_IN["online_store"], *BUILT_IN["registry"]} - {"memory"}
        ],
        "reference/support.md": [
            f"| `{kind}` |" for group in ("online_store", "stream", "registry", "log")
            for kind in BUILT_IN[group].keys() - {"memory"}
        ],
        "examples.md": [
            f'??? example "examples/{path.relative_to(ROOT / "examples")}"'
            for path in (ROOT / "examples").glob("[!_]*/*.py")
        ],
    }  # fmt: skip
    assert all(wanted.values())
    assert [
        (page, what)
        for page, all_of in wanted.items()
        for what in all_of
        if what not in pages[page]
    ] == []


def test_every_option_of_the_settings_and_every_metric_is_explained(pages: dict[str, str]) -> None:
    for page in ("reference/settings.md", "reference/metrics.md"):
        rows = [line for line in pages[page].splitlines() if line.startswith("| `")]
        assert rows
        assert [row for row in rows if row.rstrip().endswith("|  |")] == []


def test_every_example_of_the_gallery_has_a_test(tools: dict[str, ModuleType]) -> None:
    folders = [folder.name for folder in tools["docs_pages"].example_folders()]
    assert folders == sorted(
        folder.name for folder in (ROOT / "examples").glob("[!_]*") if any(folder.glob("*.py"))
    )
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests/examples").glob("*.py")
    )
    assert [folder for folder in folders if f'"{folder}"' not in tests] == []


def test_links_of_the_root_pages_lead_into_the_site(tools: dict[str, ModuleType]) -> None:
    assert doctest.testmod(tools["docs_site"]).failed == 0


@pytest.mark.parametrize(
    "head",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css?family=X">',
        '<link href="https://fonts.example" rel="preconnect">',
        "<style>@import 'https://fonts.example/x.css';</style>",
        "<p style=\"background: url('http://pictures.example/x.png')\"></p>",
        '<img src="https://pictures.example/x.png">',
        '<pre class="mermaid">a --&gt; b</pre>',
        '<script src="lost.js"></script>',
        '<link rel="stylesheet" href="/assets/x.css">',
    ],
)
def test_a_page_that_asks_for_something_of_others_is_found(
    tools: dict[str, ModuleType], tmp_path: Path, head: str
) -> None:
    own = '<link rel="canonical" href="https://us.example/"><script src="own.js?1"></script>'
    (tmp_path / "own.js").write_text("")
    page = tmp_path / "index.html"
    page.write_text(f'<html>{own}<a href="https://others.example/">others</a></html>')
    assert list(tools["check_site"].problems(tmp_path)) == []
    page.write_text(f"<html>{own}{head}</html>")
    assert len(list(tools["check_site"].problems(tmp_path))) == 1


def test_a_style_sheet_that_asks_for_something_of_others_is_found(
    tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<html></html>")
    (tmp_path / "x.css").write_text("@font-face { src: url(https://fonts.example/x.woff2) }")
    assert len(list(tools["check_site"].problems(tmp_path))) == 1


def test_no_page_is_no_site(tools: dict[str, ModuleType], tmp_path: Path) -> None:
    assert list(tools["check_site"].problems(tmp_path)) != []
