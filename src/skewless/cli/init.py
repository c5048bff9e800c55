"""``skewless init``: a small commented repo to start from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from skewless.cli.options import command
from skewless.cli.output import emit, say
from skewless.cli.starter import FIRST_COMMANDS, files
from skewless.errors import InputError


@command("init", repo=False, example="skewless init\nskewless init shop --json")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init_command(folder: Path, as_json: bool) -> None:
    """Make a small repo to start from, in FOLDER (by default this one).

    Writes settings, definitions, a few synthetic rows, and a README whose commands run. Files
    that are there already are never touched.
    """
    project = folder.absolute().resolve().name or "repo"
    wanted = files(project, datetime.now(UTC))
    ignore = wanted.pop(".gitignore")
    taken = [name for name in wanted if (folder / name).exists()]
    if taken:
        raise InputError(
            "files that are there already would be overwritten",
            got=", ".join(taken),
            where=str(folder.absolute()),
            hint="Choose another folder: skewless init NAME",
        )
    if not (folder / ".gitignore").exists():
        wanted[".gitignore"] = ignore
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    moves = [] if folder == Path() else [f"cd {folder}"]
    commands = [*moves, *FIRST_COMMANDS]
    if as_json:
        emit({"folder": str(folder.absolute()), "files": sorted(wanted), "next": commands})
        return
    say(f"Made a repo in {folder.absolute()}:")
    for name in sorted(wanted):
        say(f"  {name}")
    say("\nNext (README.md tells the rest):")
    for line in commands:
        say(f"  {line}")
