"""``skewless audit``: who read what of whom, what somebody did, is the record whole?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command, pairs, typed
from skewless.cli.output import emit, note, say, short, table
from skewless.clock import iso, to_micros
from skewless.errors import InputError, UnknownName

if TYPE_CHECKING:
    from skewless.audit.search import Found
    from skewless.store import FeatureStore

ACTIONS = ("who-read", "what-did", "verify", "checkpoint")


@command(
    "audit",
    example="skewless audit who-read card_id=c1\n"
    "skewless audit who-read fab_id=f1 wafer=7 --since 2026-01-01T00:00:00Z --json\n"
    "skewless audit what-did service:checkout --limit 100\n"
    "skewless audit verify --since-checkpoint",
    no="verify: something was altered or removed.",
)
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("named", metavar="[KEY=VALUE... | ACTOR]", nargs=-1)
@click.option("--since", metavar="TIME", help="who-read, what-did: from here on.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--since-checkpoint", is_flag=True, help="verify: against signed checkpoints too.")
@click.option("--public-key", metavar="HEX", help="verify: who signed.  [default: the settings]")
@click.pass_context
def audit_command(
    ctx: click.Context,
    /,
    *,
    repo: str,
    as_json: bool,
    action: str,
    named: tuple[str, ...],
    **given: Any,
) -> None:
    """Say who read what of whom, and whether the record is whole.

    [audit] of skewless.toml switches the audit on.

    who-read: the accesses to an entity, newest first, by its join keys.

    what-did: what an ACTOR read and wrote, newest first: user:NAME, service:NAME, key:ID as the
    servers name a key without an actor, or anybody.

    verify: hash every byte of the audit and of its indexes, as `skewless ledger verify` does.

    checkpoint: sign where it ends now; `skewless tend` does so as often as [tend] says.

    A search is on record itself.
    """
    from skewless.store import FeatureStore

    if (action in ("who-read", "what-did")) != bool(named):
        raise InputError(f"audit {action} {'takes no' if named else 'needs an'} argument")
    with FeatureStore(repo) as fs:
        if action == "verify":
            from skewless.audit.search import Search

            key = given["public_key"] or ""
            report = Search(fs.audit).verify(
                signed=given["since_checkpoint"] or bool(key), public_key=key
            )
            emit(report) if as_json else say(str(report))
            if not report.ok:
                ctx.exit(1)
        elif action == "checkpoint":
            fs.audit.write()
            made = fs.audit.ledger.checkpoint()
            emit(made) if as_json else say(f"Signed at {iso(made.at)} by {made.signer}")
        else:
            _shown(_found(fs, action, named, given), as_json)


def _found(
    fs: FeatureStore, action: str, named: tuple[str, ...], given: dict[str, Any]
) -> list[Found]:
    from skewless.audit.search import Search

    since = None if given["since"] is None else to_micros(given["since"], where="--since")
    limits = {"since": since, "limit": given["limit"]}
    if action == "what-did":
        if len(named) > 1:
            raise InputError("audit what-did takes one actor", got=" ".join(named))
        found = Search(fs.audit).what_did(named[0], **limits)
        fs.reads.verbs.searched(action, actor=named[0])
        return found
    subjects = _subjects(fs, named)
    found = Search(fs.audit).who_read(list(subjects.values()), **limits)
    fs.reads.verbs.searched(action, entities=list(subjects.values()))
    return found


def _subjects(fs: FeatureStore, named: tuple[str, ...]) -> dict[str, str]:
    """Return the keyed hashes of what join keys name, by entity."""
    from skewless.audit.events import subjects_named

    state, given = fs.runtime.state(fresh=True), pairs(named)
    names = set(given)
    known = [e for e in state.entities.values() if set(e.key_names) == names]
    if not known:
        keys = ["+".join(entity.key_names) for entity in state.entities.values()]
        raise UnknownName.of("join key", "+".join(sorted(names)), keys, where="the registry")
    found: dict[str, str] = {}
    for entity in known:
        row = typed(given, dict(entity.join_keys), entity.name)
        found |= subjects_named([entity], row, fs.audit.keyed)
    return found


def _shown(found: list[Found], as_json: bool) -> None:
    if as_json:
        emit([each.to_dict() for each in found])
    elif found:
        headers = ["at", "who", "did", "of", "features", "purpose", "outcome"]
        say(table(headers, map(_row, found)))
    else:
        note("Nothing of it is on record.")


def _row(found: Found) -> list[str]:
    features = short(", ".join(found.features)) or str(found.about.get("source", ""))
    at = iso(found.at)[:19] + "Z"
    return [at, found.actor, found.action, f"{found.count:,}", features, found.purpose,
            short(found.outcome)]  # fmt: skip
