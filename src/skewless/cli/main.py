"""The group of all commands. A command's module is imported when the command is run.

Exit codes: 0 done; 1 the answer is no; 2 wrong usage or input; 3 a store cannot be reached;
130 interrupted; 141 the reader of the output went away.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from skewless.cli.options import CONTEXT
from skewless.cli.output import emit, error_text
from skewless.errors import InputError, SkewlessError, StoreError, StoreUnavailable, UnknownName
from skewless.version import __version__

OK, NO, WRONG, UNAVAILABLE, INTERRUPTED, NO_READER = 0, 1, 2, 3, 130, 141

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("init", "Make a small repo to start from."),
        "demo": ("demo", "Flights of 2013: train, serve and prove that both agree."),
        "doctor": ("doctor", "Tell what is wrong with a set-up."),
        "version": ("version", "Print the versions in use."),
    },
    "Define": {
        "plan": ("plan", "Show what applying the definitions would change."),
        "apply": ("plan", "Apply the definitions to the registry."),
        "test": ("test", "Carry out the examples beside the definitions."),
        "history": ("lifecycle", "List the changes of the registry."),
        "registry": ("registry", "Copy the registry, export it to a file, import it from one."),
        "retire": ("lifecycle", "End the service of an old version of a view."),
        "deprecate": ("lifecycle", "Say that something should no longer be used."),
    },
    "Fill": {
        "push": ("push", "Hand rows of a file to a source."),
        "delete": ("push", "Delete rows of a source by row id."),
        "quarantine": ("push", "List rows that were set aside."),
        "rows": ("lifecycle", "List, drop or give back the rows of removed sources."),
        "stream": ("stream", "Run the worker of a source's stream, or show how streams stand."),
        "flink": ("flink", "Keep up the states of a source by a job of Flink."),
        "materialize": ("materialize", "Bring the online store up to date from history."),
        "backfill": ("materialize", "Rebuild online states."),
        "compact": ("materialize", "Settle event logs into Parquet files."),
        "tend": ("tend", "Do everything periodic that is due, once."),
        "online": ("online", "Move the online store, look at its mirror, rebuild it."),
    },
    "Read": {
        "get": ("get", "Read feature vectors from the online store."),
        "historical": ("historical", "Build a training set."),
        "rebuild": ("historical", "Make a training set again, and say whether it is the same."),
        "read": ("historical", "List every change of a view's values over a range of time."),
        "explain": ("explain", "Show the rows behind a value."),
        "replay": ("replay", "Show what a request was answered, and why history differs."),
    },
    "Serve": {
        "serve": ("serve", "Serve features over HTTP, until SIGTERM or Ctrl-C."),
        "keys": ("keys", "Make, rotate, revoke and list keys of the HTTP server."),
        "access": ("access", "Say which grant decides whether somebody may read a feature."),
        "audit": ("audit", "Say who read what of whom, and whether the record is whole."),
        "subject": ("subject", "Show all that is held of an entity, and where."),
    },
    "Look": {
        "ui": ("ui", "Show the catalogue in a browser."),
        "checklist": ("checklist", "Say what a service lacks to go into production."),
        "import": ("imports", "Write the definitions of another feature store as features.py."),
        "sql": ("sql", "Answer one SELECT over what the store holds."),
        "mcp": ("mcp", "Answer an assistant's questions of the catalogue."),
        "verify": ("verify", "Prove that what is served is what history gives, bit for bit."),
        "lineage": ("lineage", "Show from which columns something comes, and what is made of it."),
        "ledger": ("ledger", "Show what happened, and prove that the record of it is whole."),
        "check": ("check", "Carry out the checks of sources and views."),
        "profile": ("drift", "Take the profile of each feature."),
        "drift": ("drift", "Say whether features are still distributed as they were."),
        "decay": ("decay", "Join delayed labels to the predictions that were logged."),
        "status": ("status", "Show how fresh each view is."),
        "cost": ("cost", "Show what each feature costs."),
        "alert": ("alert", "List the alerts that are open, acknowledge one, or silence some."),
        "list": ("status", "List what is defined."),
        "show": ("status", "Show a view, source, entity, feature service or feature."),
        "search": ("status", "Find features by words."),
        "recommend": ("recommend", "Show what a service could try next."),
        "statistics": ("status", "Show counts, nulls, range and quantiles of a view's features."),
        "leakage": ("leakage", "Report what in a training set comes from after its label."),
        "experiment": (
            "experiment",
            "Compare outcomes of the two feature services of an experiment.",
        ),
        "value": ("value", "Compute what the repo is worth, from measures and assumptions."),
        "capacity": ("capacity", "Say what a load needs: machines, memory, partitions, money."),
        "backtest": ("leakage", "Measure what leakage does to a model."),
    },
}
"""Section to command to its module and summary."""


class Commands(click.Group):
    """The commands, by section, imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return [name for commands in COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        del ctx
        for commands in COMMANDS.values():
            if cmd_name in commands:
                module = importlib.import_module(f"skewless.cli.{commands[cmd_name][0]}")
                found = vars(module)[f"{cmd_name}_command"]
                return found if isinstance(found, click.Command) else None
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names."""
        known = self.list_commands(ctx)
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in known:
            raise UnknownName.of("command", args[0], known, where="skewless")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, without importing any."""
        del ctx
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; every error becomes a readable block and an exit code."""
        words = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(
                words,
                prog_name or "skewless",
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except (SkewlessError, click.ClickException, OSError) as problem:
            if not standalone_mode:
                raise
            code = _report(problem, as_json="--json" in words)
        except click.Abort:
            if not standalone_mode:
                raise
            code = INTERRUPTED
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else OK)
        return code

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; when the reader of its output went away, stop without a word."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Python flushes stdout once more at its end: point it where that does no harm.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
            ctx.exit(NO_READER)


def _report(problem: SkewlessError | click.ClickException | OSError, *, as_json: bool) -> int:
    """Print an error, as a block on stderr or as JSON on stdout; return the exit code."""
    shown = _as_ours(problem)
    if as_json:
        emit(shown)
    else:
        click.echo(error_text(shown), err=True)
    return UNAVAILABLE if isinstance(problem, StoreUnavailable) else WRONG


def _as_ours(problem: SkewlessError | click.ClickException | OSError) -> SkewlessError:
    """Return an error as one of skewless's."""
    if isinstance(problem, SkewlessError):
        return problem
    if isinstance(problem, OSError):
        name = problem.filename
        return StoreError(
            "the operating system refuses",
            got=problem.strerror or str(problem),
            where=None if name is None else str(name),
        )
    context = problem.ctx if isinstance(problem, click.UsageError) else None
    path = "skewless" if context is None else context.command_path
    return InputError(problem.format_message(), where=path, hint=f"See {path} --help.")


@click.group("skewless", cls=Commands, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, prog_name="skewless", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """A feature store: define a feature once, and its value is the same number everywhere.

    Begin with: skewless init
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


if __name__ == "__main__":
    main()
