"""``skewless import``: definitions from another feature store."""

from __future__ import annotations

from pathlib import Path

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say
from skewless.errors import InputError


@command(
    "import",
    example="skewless import feast feature_repo --out features --python feast/bin/python\n"
    "skewless import feast feature_repo --out features --prove 10000",
    no="With --prove: a value differs from Feast's.",
    repo=False,
)
@click.argument("kind", type=click.Choice(["feast"]))
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@click.option("--out", default="features", show_default=True, help="Folder of the new repo.")
@click.option("--python", help="Interpreter that has Feast.  [default: this one]")
@click.option(
    "--prove", type=click.IntRange(1), metavar="ROWS",
    help="Apply the definitions and compare the values of so many rows with Feast's.",
)  # fmt: skip
def import_command(
    *, as_json: bool, kind: str, path: str, out: str, python: str | None, prove: int | None
) -> None:
    """Write the definitions of another feature store as features.py.

    KIND is feast; PATH is a feature repo where `feast apply` has run. Nothing is changed there.
    What differs or did not map is said.
    """
    from skewless.plugs.feast.prove import prove as proven
    from skewless.plugs.feast.registry import dump
    from skewless.plugs.feast.translate import translate
    from skewless.store import FeatureStore

    del kind
    made, target = translate(dump(Path(path), python), Path(path)), Path(out) / "features.py"
    if target.exists() and target.read_text("utf-8") != made.code:
        raise InputError("there are definitions already", got=str(target), expected="another --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(made.code, "utf-8")
    note(f"{target} written")
    report, proof = made.to_dict(), None
    if prove is not None:
        with FeatureStore(out) as fs:
            fs.apply(fs.plan())
            proof = proven(fs, made.views, Path(path), python=python, rows=prove)
        report["proof"] = proof.to_dict()
    if as_json:
        emit(report)
    else:
        say(str(made) if proof is None else f"{made}\n{proof}")
    if proof is not None and proof.wrong:
        raise SystemExit(1)
