"""What commands have in common: ``--repo``, ``--json``, an example in their help, typed words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skewless.codec import from_json, from_text
from skewless.config import EMBEDDED, FILE_NAME
from skewless.errors import InputError, UnknownName
from skewless.types import Misfit

if TYPE_CHECKING:
    from skewless.types import DType

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(click.Command):
    """A command with ``--json``, mostly ``--repo``, and examples at the end of its help.

    Attributes:
        example: lines as typed in a shell.
        no: when the command exits with 1: what "the answer is no" means; empty: never.
        repo: whether it takes ``--repo``; ``"any"``: of a folder that is no repo too.
    """

    def __init__(self, *args: Any, example: str, no: str, repo: bool | str, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", CONTEXT)
        super().__init__(*args, **kwargs)
        self.example = example
        self.no = no
        if repo:
            self.params.append(
                click.Option(
                    ["--repo"],
                    envvar="SKEWLESS_REPO",
                    metavar="PATH",
                    callback=lambda _, __, given: repo_of(given, any_folder=repo == "any"),
                    help="Folder of the repo (or its skewless.toml).  [default: this folder, or the"
                    " nearest one above it that is a repo]",
                )
            )
        help_text = "Print JSON on stdout and nothing else there."
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help=help_text))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, and what an exit code of 1 means."""
        del ctx
        with formatter.section("Example"):
            for line in self.example.strip().splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        if self.no:
            with formatter.section("Exit code 1"):
                formatter.write_text(self.no)


def command(
    name: str, *, example: str, no: str = "", repo: bool | str = True
) -> Callable[[Callable[..., None]], Command]:
    """Make a `Command` of a function, whose docstring is its help."""
    return click.command(name, cls=Command, example=example, no=no, repo=repo)


def repo_of(given: str | None, *, any_folder: bool = False) -> str:
    """Return the repo that a command works on.

    A repo has a ``skewless.toml`` or a ``.skewless``, or files of definitions; without a word about
    it, it is this folder or the nearest one above that has a ``skewless.toml``.

    Args:
        given: by ``--repo``; None: nothing.
        any_folder: whether the command takes a folder that is no repo: to say what is wrong, or
            because it makes one of its own.

    Raises:
        InputError: there is none: a command leaves nothing behind in a folder that is no repo.
    """
    here = Path.cwd()
    if given is None:
        if (here / FILE_NAME).exists() or (here / EMBEDDED).exists():
            return "."
        if above := next((each for each in here.parents if (each / FILE_NAME).exists()), None):
            return str(above)
    asked = here if given is None else Path(given).expanduser()
    marks = (FILE_NAME, EMBEDDED, "*.py")
    if (
        not any_folder
        and asked.is_dir()
        and not any(next(asked.glob(mark), None) for mark in marks)
    ):
        raise InputError(
            "this folder is no repo" if given is None else "that folder is no repo",
            got=str(asked),
            expected=f"a folder with {FILE_NAME}, or with files of definitions",
            hint="Make one: skewless init. Name another one: --repo PATH.",
        )
    return "." if given is None else given


def at_option(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option ``--at``."""
    return click.option("--at", metavar="TIME", help=text)


def asked_for(features: str) -> Any:
    """Return what FEATURES stands for: a service or view, or references between commas."""
    names = [name.strip() for name in features.split(",") if name.strip()]
    return names[0] if len(names) == 1 and ":" not in names[0] else names


def pairs(words: Iterable[str], what: str = "a key") -> dict[str, str]:
    """Return ``key=value`` words as a dict.

    Raises:
        InputError: a word without ``=``, or one key twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InputError(f"{what} without a value", got=repr(word), expected="key=value")
        if key in found:
            raise InputError(f"{what} given twice", got=key)
        found[key] = value
    return found


def typed(row: Mapping[str, Any], dtypes: Mapping[str, DType], where: str) -> dict[str, Any]:
    """Return a row with its texts turned into the types they stand for.

    Raises:
        UnknownName: a key that nobody asks for.
        InputError: a text that is no value of its type.
    """
    found = {}
    for name, value in row.items():
        if name not in dtypes:
            raise UnknownName.of("key", name, dtypes, where=where)
        read = from_text if isinstance(value, str) else from_json
        try:
            found[name] = read(value, dtypes[name])
        except Misfit as problem:
            raise InputError(
                f"{name!r} is no {dtypes[name]!r}", got=problem.reason, where=where
            ) from None
    return found


def listed(names: Sequence[str]) -> list[str] | None:
    """Return names, or None (for all) when there are none."""
    return list(names) or None
