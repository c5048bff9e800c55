"""``skewless import``: definitions from another feature store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say
from skewless.errors import InputError

if TYPE_CHECKING:
    from skewless.plugs.migrate.written import Translation

_TAKES = {
    "feast": {"python", "prove"},
    "hopsworks": {"epoch"},
    "sagemaker": set(),
    "chronon": {"types"},
}
"""Options by what is imported."""


@command(
    "import",
    example="skewless import feast feature_repo --out features --prove 10000\n"
    "skewless import hopsworks groups.json --epoch ms\n"
    "skewless import sagemaker described/\n"
    "skewless import chronon production/ --types types.json",
    no="With --prove: a value differs from Feast's.",
    repo=False,
)
@click.argument("kind", type=click.Choice(list(_TAKES)))
@click.argument("path", type=click.Path(exists=True))
@click.option("--out", default="features", show_default=True, help="Folder of the new repo.")
@click.option("--python", help="feast: interpreter that has it.  [default: this one]")
@click.option(
    "--prove", type=click.IntRange(1), metavar="ROWS",
    help="feast: apply the definitions and compare the values of so many rows with Feast's.",
)  # fmt: skip
@click.option(
    "--epoch", type=click.Choice(["s", "ms", "us", "ns"]),
    help="hopsworks: the unit of event times that are numbers.",
)  # fmt: skip
@click.option(
    "--types", type=click.Path(exists=True, dir_okay=False),
    help="chronon: JSON with the types of tables' columns.",
)  # fmt: skip
def import_command(
    *, as_json: bool, kind: str, path: str, out: str, python: str | None, prove: int | None,
    epoch: str | None, types: str | None,
) -> None:  # fmt: skip
    """Write the definitions of another feature store as features.py.

    KIND says which. PATH is a feature repo of Feast where `feast apply` has run, or a file or a
    folder of JSON: feature groups of Hopsworks, what `aws sagemaker describe-feature-group`
    answers, or what Chronon has compiled. What differs or did not map is said.
    """
    given = {"python": python, "prove": prove, "epoch": epoch, "types": types}
    for option, value in given.items():
        if value is not None and option not in _TAKES[kind]:
            raise InputError(f"--{option} is no option of importing from {kind}")
    if kind == "feast":
        _from_feast(Path(path), Path(out), python, prove, as_json=as_json)
        return
    made = _translated(kind, Path(path), epoch, types)
    _write(made, Path(out))
    if as_json:
        emit(made.to_dict())
    else:
        say(str(made))


def _translated(kind: str, path: Path, epoch: str | None, types: str | None) -> Translation:
    from skewless.plugs.migrate import chronon, hopsworks, sagemaker

    if kind == "hopsworks":
        return hopsworks.translate(path, epoch=epoch)
    if kind == "sagemaker":
        return sagemaker.translate(path)
    return chronon.translate(path, Path(types) if types else None)


def _write(made: Translation, out: Path) -> None:
    target = out / "features.py"
    if target.exists() and target.read_text("utf-8") != made.code:
        raise InputError("there are definitions already", got=str(target), expected="another --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(made.code, "utf-8")
    note(f"{target} written")


def _from_feast(
    path: Path, out: Path, python: str | None, prove: int | None, *, as_json: bool
) -> None:
    from skewless.plugs.feast.prove import prove as proven
    from skewless.plugs.feast.registry import dump
    from skewless.plugs.feast.translate import translate
    from skewless.store import FeatureStore

    made = translate(dump(path, python), path)
    _write(made, out)
    report, proof = made.to_dict(), None
    if prove is not None:
        with FeatureStore(str(out)) as fs:
            fs.apply(fs.plan())
            proof = proven(fs, made.views, path, python=python, rows=prove)
        report["proof"] = proof.to_dict()
    if as_json:
        emit(report)
    else:
        say(str(made) if proof is None else f"{made}\n{proof}")
    if proof is not None and proof.wrong:
        raise SystemExit(1)
