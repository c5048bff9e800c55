"""``skewless registry``: copy it, export it to a file, import it from one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say
from skewless.errors import InputError
from skewless.formatting import count_of

if TYPE_CHECKING:
    from skewless.registry.backup import Copied


@command(
    "registry",
    repo="any",
    example="skewless registry export backup.json\nskewless registry import backup.json\n"
    "skewless registry copy --to 'postgresql://ml:${PGPASSWORD}@db/features'",
)
@click.argument("action", type=click.Choice(["copy", "export", "import"]))
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--to", metavar="ADDRESS", help="copy: postgresql://... or a path, of an empty one.")
def registry_command(
    repo: str, as_json: bool, action: str, file: Path | None, to: str | None
) -> None:
    """Copy the registry, export it to a file, import it from one.

    Its whole history goes along: versions, revisions, deprecations, finished intervals, progress.

    copy: to another registry, which must be empty; ${NAME} in the address is looked up in the
    environment. What arrived is compared, row by row.

    export: to a JSON file, a backup that any registry can be made of.

    import: into the repo's registry, which must be empty.
    """
    from skewless.registry import backup
    from skewless.store import FeatureStore

    if (to is None) == (action == "copy"):
        raise InputError(
            "registry copy needs --to ADDRESS" if to is None else "only copy takes --to"
        )
    if (file is None) != (action == "copy"):
        raise InputError(f"registry {action} {'takes no' if file else 'needs a'} file")
    with FeatureStore(repo) as fs:
        registry = fs.runtime.registry
        if action == "copy":
            with backup.registry_at(to or "", fs.config.folder, fs.config.project) as target:
                done, where = backup.move(registry, target), target.where
        elif action == "export":
            done, where = backup.export(registry, file or Path()), str(file)
        else:
            done, where = backup.restore(registry, file or Path()), registry.where
    _tell(done, where, action, as_json)


def _tell(done: Copied, where: str, action: str, as_json: bool) -> None:
    if as_json:
        emit({"where": where, **asdict(done)})
        return
    say(f"{where}: revision {done.revision}, {count_of(sum(done.rows.values()), 'row')}, the same.")
    if done.behind:
        note(
            f"The original has gone on by {count_of(done.behind, 'revision')} meanwhile: stop"
            " applying, and copy into another empty one."
        )
    elif action == "copy":
        note("To use it: name it in [registry] of skewless.toml, everywhere, then apply again.")
