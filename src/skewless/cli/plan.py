"""``skewless plan`` and ``skewless apply``: what would change, and changing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, paint, progress, say
from skewless.cli.wording import in_shell
from skewless.errors import InputError, SkewlessError, StoreError
from skewless.formatting import count_of
from skewless.plan.apply.apply_plan import ApplyPlan

if TYPE_CHECKING:
    from skewless.state.sizes import StateSize
    from skewless.store import FeatureStore

MOST_SIZES = 20
SIZES = "(bytes and rows kept: median, 99 %, largest)"
COLOURS = {"+": "green", "~": "yellow", "-": "red", "!": "red"}

repin_option = click.option(
    "--repin",
    multiple=True,
    metavar="SERVICE",
    help="Move this feature service to the newest versions of its views; repeatable.",
)
repin_all_option = click.option("--repin-all", is_flag=True, help="Move all feature services.")


@command(
    "plan",
    example="skewless plan\nskewless plan --check --json\nskewless plan --summary --owner fraud",
    no="With --check: applying would change something. With --lint: a rule is not kept.",
)
@click.option("--check", is_flag=True, help="Exit with 1 if there is anything to apply.")
@click.option("--lint", is_flag=True, help="Exit with 1 if a rule of [lint] is not kept.")
@click.option(
    "--summary/--all",
    default=None,
    help="Totals and names, or a line for each feature too.  [default: by length]",
)
@click.option("--owner", metavar="NAME", help="Show what this owner answers for alone.")
@repin_option
@repin_all_option
@click.pass_context
def plan_command(
    ctx: click.Context,
    /,
    *,
    repo: str,
    as_json: bool,
    summary: bool | None,
    owner: str | None,
    **given: Any,
) -> None:
    """Show what applying the definitions would change.

    Nothing is written. The plan says what is added, changed and removed, which changes alter
    values (a new version; the old one serves on), what would break and which services feel it. For
    views that are added or changed, the size of their states online is estimated from history.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        plan = fs.plan(repin=given["repin_all"] or given["repin"])
        plan = plan if owner is None else plan.of_owner(owner)
        sizes, problem = estimates(fs, plan)
    if as_json:
        emit({**plan.to_dict(), "states": [size.to_dict() for size in sizes]})
    else:
        text = plan.explain(summary=summary)
        say(coloured(text))
        if summary is None and text != plan.explain(summary=False):
            note("A line for each feature: skewless plan --all")
        if summary is None and len(sizes) > MOST_SIZES:
            note(f"Of {len(sizes):,} tables of states the {MOST_SIZES} largest:")
            sizes = sorted(sizes, key=lambda each: -each.size.p99)[:MOST_SIZES]
        if sizes:
            say(f"\nThe state of an entity online, estimated from history\n{SIZES}:\n")
        for size in sizes:
            say("\n".join(f"  {line}" for line in str(size).splitlines()))
    if problem is not None:
        note(f"No estimate of the size of states: {problem}")
    if (given["check"] and not plan.is_empty) or (given["lint"] and plan.lint):
        ctx.exit(1)


@command(
    "apply",
    example="skewless apply\nskewless apply --yes --json\n"
    "skewless apply --allow-breaking --repin fraud_model",
    no="You were asked and said no, or an example fails; nothing has changed.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--allow-breaking", is_flag=True, help="Apply even what breaks services or reads.")
@click.option(
    "--test", is_flag=True, help="Apply only if the examples beside the definitions hold."
)
@click.option(
    "--lint", is_flag=True, help="Refuse what is added or changed and breaks a rule of [lint]."
)
@click.option("--who", default="", help="Who makes the change.  [default: user@host]")
@click.option(
    "--build/--no-build",
    default=None,
    help="Whether to build what is added or changed from history now."
    "  [default: where the online store is embedded and the history not large]",
)
@repin_option
@repin_all_option
@click.pass_context
def apply_command(
    ctx: click.Context,
    /,
    *,
    repo: str,
    as_json: bool,
    yes: bool,
    allow_breaking: bool,
    who: str,
    build: bool | None,
    **more: Any,
) -> None:
    """Apply the definitions to the registry, and build what they add or change.

    Shows the plan and asks. Breaking changes are refused unless they are allowed. Two applies at
    once cannot lose one: the second is told to plan again. What is added or changed says building
    online until it is built from history; reads and pushes go on meanwhile.
    """
    from skewless.materialize.build import Built, build_pending
    from skewless.store import FeatureStore

    if more["test"] and not examples_hold(repo):
        ctx.exit(1)
    with FeatureStore(repo) as fs:
        plan = fs.plan(repin=more["repin_all"] or more["repin"])
        (note if as_json else say)(coloured(plan.explain()))
        refused = bool(plan.breaking) and not allow_breaking
        if more["lint"]:
            plan.check_lint()
        if not plan.is_empty and not yes and not refused and not confirmed():
            note("Nothing has changed.")
            ctx.exit(1)
        fs.apply(plan, who=who, allow_breaking=allow_breaking, build=False)
        revision = fs.runtime.registry.state().revision
        if not (as_json or plan.is_empty):
            say(f"\nApplied: the registry is at revision {revision}.")
        built = Built()
        if build or not plan.is_empty:
            with progress() as report:
                built = build_pending(fs.runtime, build, progress=report)
    if as_json:
        waiting = [vars(each) for each in built.waiting]
        tables = [vars(each) for each in built.tables]
        emit({"revision": revision, **plan.to_dict(), "built": tables, "building": waiting})
        return
    for table in built.tables:
        say(f"Built {table.table}: {count_of(table.rows, 'row')} of history.")
    if built.waiting:
        note(str(built))


def examples_hold(repo: str) -> bool:
    """Carry out the examples of a repo, say what became of them and whether all hold."""
    from skewless.cli.test import carried_out

    report = carried_out(Path(repo))
    note(f"{report}\n")
    if not report.ok:
        note("Nothing has changed.")
    return report.ok


def estimates(fs: FeatureStore, plan: ApplyPlan) -> tuple[list[StateSize], SkewlessError | None]:
    """Return how large states will be, or why that cannot be told."""
    from skewless.online.sizes import estimated_sizes

    try:
        return estimated_sizes(fs.runtime, plan), None
    except (StoreError, InputError) as problem:
        return [], problem


def confirmed(question: str = "Apply this?") -> bool:
    """Ask, on stderr, whether to apply.

    Raises:
        InputError: there is nobody to ask.
    """
    try:
        return click.confirm(f"\n{question}", err=True)
    except (click.Abort, UnicodeDecodeError) as problem:
        if isinstance(problem.__context__, KeyboardInterrupt):
            raise
        raise InputError("nobody is there to ask", hint="Apply without asking: --yes") from None


def coloured(text: str) -> str:
    """Return the text of a plan with its steps in colour on a terminal."""
    lines = []
    for line in in_shell(text).splitlines():
        sign = line.strip()[:1]
        colour = COLOURS.get(sign) if line.startswith("  ") else None
        lines.append(paint(line, colour) if colour else line)
    return "\n".join(lines)
