"""Hooks of mkdocs: pages that are made from the code or lie elsewhere in the repo join the site."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import docs_pages

ROOT = docs_pages.ROOT
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files beside docs/ that are pages of the site."""
_LINK = re.compile(r"\]\((?![a-z]+://|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Name the pages of each folder that the navigation has as ``folder/``."""
    config["nav"] = unfolded(config["nav"], Path(config["docs_dir"]))
    return config


def unfolded(nav: Any, docs: Path) -> Any:
    """Return a navigation with the pages of a folder, in order, in place of its name."""
    if isinstance(nav, dict):
        return {title: unfolded(inner, docs) for title, inner in nav.items()}
    if isinstance(nav, list):
        return [unfolded(inner, docs) for inner in nav]
    if not nav.endswith("/"):
        return nav
    pages = sorted(page.relative_to(docs).as_posix() for page in docs.glob(f"{nav}*.md"))
    return sorted(pages, key=lambda page: not page.endswith("README.md"))


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages that do not lie in docs/."""
    from mkdocs.structure.files import File

    made = docs_pages.pages() | {
        address: relinked((ROOT / name).read_text(encoding="utf-8"))
        for name, address in ELSEWHERE.items()
    }
    for address, text in made.items():
        files.append(File.generated(config, address, content=text))
    return files


def relinked(text: str) -> str:
    """Return a page of the repo's root with its links as they are in the site.

    >>> relinked("[a](docs/push.md#once), [b](CONTRIBUTING.md), [c](examples/wafer_test)")
    '[a](push.md#once), [b](contributing.md), c'
    """

    def link(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ""
        if path.startswith("docs/"):
            return f"]({path.removeprefix('docs/')}{anchor})"
        if path in ELSEWHERE:
            return f"]({ELSEWHERE[path]}{anchor})"
        return "](-)"

    return re.sub(r"\[([^\]]*)\]\(-\)", r"\1", _LINK.sub(link, text))
