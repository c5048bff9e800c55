"""What may be applied in a life: sources, entities, features of every family, views and services.

A `Shelf` holds what users would have in their files now. Changing it and applying it is a step; the
store's registry keeps the versions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import fsum, isnan
from typing import Any

from skewless.aggregations.windows import lifetime, session, tumbling
from skewless.definitions import Entity, FeatureService, FeatureView, Source
from skewless.definitions.derived import derived
from skewless.definitions.expressions import Expression
from skewless.definitions.source import Epoch
from skewless.definitions.tables import Parquet

MINUTE = 60_000_000
ENTITIES = (Entity("customer", user=str), Entity("shop", shop=int), Entity("everything"))
"""The last has no keys, so that there are no others for them."""
OTHERWISE = (Entity("who", who=str), Entity("stall", stall=int))
"""The same entities under other names of their keys."""
ROLES: tuple[dict[str, Any], ...] = ({"user": "buyer"}, {"shop": "seller"})
FIXED: tuple[dict[str, Any], ...] = ({"user": "u1"}, {"shop": 1})
OF_KEYS = ("on", "role", "fixed")
FORMS = {"plain": 8, "lag": 2, "on": 2, "role": 2, "fixed": 1, "groups": 4}
"""How a view looks at its source and is asked for, and how often: rows that are a while back, keys
that the source or the request calls otherwise, a fixed key, rows made of groups of rows."""
UNITS = ("", "", "us", "ms")
"""Of the numbers that times come as; empty where they are times."""
Maker = Callable[[Source], Expression]

FEATURES: dict[str, Maker] = {
    "rows": lambda s: s.count(lifetime()),
    "total": lambda s: s.amount.sum(lifetime()),
    "mean": lambda s: s.amount.mean("30m"),
    "spread": lambda s: s.amount.std("2h"),
    "coarse": lambda s: s.amount.sum("2h", resolution="10m"),
    "blocks": lambda s: s.number.sum(tumbling("10m")),
    "visit": lambda s: s.count(session("7m")),
    "now": lambda s: s.amount.latest(),
    "fresh": lambda s: s.number.latest(ttl="20m"),
    "start": lambda s: s.number.first(lifetime()),
    "some": lambda s: s.number.last_n(3),
    "mean_3": lambda s: s.amount.mean(last=3),
    "kinds": lambda s: s.number.n_unique("1h"),
    "high": lambda s: s.where(s.number > 1).amount.max("45m"),
    "median": lambda s: s.amount.median("1h"),
    "earlier": lambda s: s.amount.sum("30m", offset="10m"),
    "range": lambda s: s.amount.max("1h") - s.amount.min("1h"),
    "third": lambda s: s.number.last_n(3, last=3)[2],
    "had_two": lambda s: s.number.last_n(4, last=4).contains(2),
    "many": lambda s: s.number.distinct("2h").length(),
    "of_u1": lambda s: s.amount.sum("2h", by=s.user).get("u1", -1.0),
    "who_most": lambda s: s.count("3h", by=s.user).top(2),
    "in_one": lambda s: s.number.time_in(1, "90m"),
    "stood": lambda s: s.amount.mean("1h", weight="time"),
    "together": lambda s: s.amount.corr(s.number, "2h"),
    "before": lambda s: s.number.previous(),
    "step": lambda s: s.amount.diff(),
    "turns": lambda s: s.number.changes("2h"),
    "since": lambda s: s.since_first("3h"),
}
WIDER: dict[str, Maker] = {
    "extra": lambda s: s.extra.sum(lifetime()),
    "extra_now": lambda s: s.extra.latest(),
}
"""Features of the column that a source gets in the course of its life."""


def newest_of_group(rows: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the newest row of a group; of some there is none."""
    number = rows["number"][-1]
    if number == 3:
        return None
    return {"amount": rows["amount"][-1], "number": None if isnan(number) else int(number)}


def sum_of_group(rows: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the sum of a group's amounts and how many rows it has."""
    amounts = [amount for amount in rows["amount"] if not isnan(amount)]
    return {"amount": fsum(amounts), "number": len(rows["amount"])}


GROUPINGS = (
    (newest_of_group, 1, 100), (sum_of_group, 1, 100), (sum_of_group, 2, 4), (newest_of_group, 2, 2)
)  # fmt: skip
"""What may make the rows of a derived source: a function, and how many rows a group has."""


@dataclass
class Shelf:
    """What users have in their files now.

    Attributes:
        source: the source as it is defined now.
        wide: whether it has its second column of numbers.
        unit: of the numbers that its times come as, see `UNITS`.
        grouping: which of `GROUPINGS` makes the rows of the derived source.
        views: name to entity, features and form (one of `FORMS`).
        services: name to the members, as they are written.
    """

    with_ids: bool
    with_table: bool
    delay: int = 0
    wide: bool = False
    unit: str = ""
    grouping: int = 0
    views: dict[str, tuple[int, dict[str, Maker], str]] = field(default_factory=dict)
    services: dict[str, list[str]] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """The source as it is written now."""
        schema: dict[str, Any] = {"id": str, "user": str, "shop": int, "amount": float}
        schema |= {"number": int} | ({"extra": float} if self.wide else {})
        return Source(
            "events",
            schema=schema,
            event_time=Epoch("at", self.unit) if self.unit else "at",
            delay=f"{self.delay}us",
            row_id="id" if self.with_ids else None,
            future="5m",
            table=Parquet("table/*.parquet") if self.with_table else None,
        )

    def groups(self, source: Source) -> Source:
        """Return the source whose rows are made of groups of rows, as it is written now."""
        function, rows, most = GROUPINGS[self.grouping]
        return derived(
            source=source,
            by=("user", "shop"),
            rows=rows,
            most=most,
            columns=("amount", "number"),
            returns={"amount": float, "number": int},
            name=f"groups{self.grouping}",  # made otherwise it is another source
        )(function)

    def built(self) -> list[Any]:
        """Return the definitions, ready to be planned."""
        source = self.source
        groups = None if self.with_table else self.groups(source)
        views = {}
        for name, (entity, features, form) in self.views.items():
            of = groups if groups is not None and form == "groups" else source
            views[name] = _view(name, of, entity, features, form)
        made: list[Any] = [source, *ENTITIES, *(each for some in views.values() for each in some)]
        for name in self.services:
            parts = [views.get(member, [member]) for member in self._members(name)]
            if parts:
                made.append(FeatureService(name, [each for some in parts for each in some]))
        return made

    def written_services(self) -> dict[str, list[str]]:
        """Return what each service is written down to hold; some forms of a view are two views."""
        two = {name: form for name, (_, _, form) in self.views.items() if form in ("role", "fixed")}
        return {
            name: [f"{each}, {two[each]}" if each in two else each for each in self._members(name)]
            for name in self.services
        }

    def _members(self, service: str) -> list[str]:
        """Return the members of a service that are there: a view may be gone."""
        return [each for each in self.services[service] if each.partition(":")[0] in self.views]

    def makers(self, form: str) -> dict[str, Maker]:
        """Return the features that the source of a view in this form allows."""
        return FEATURES | (WIDER if self.wide and form != "groups" else {})

    def forms(self) -> dict[str, int]:
        """Return the forms that views may have: of the rows of a table none are made."""
        return {name: n for name, n in FORMS.items() if name != "groups" or not self.with_table}

    def add_view(self, chance: random.Random) -> str:
        """Add a view of some features, under a name that is or was in use or a new one."""
        free = [name for name in ("V", "W", "X", "Y") if name not in self.views]
        if not free:
            return "no room for a view"
        name = chance.choice(free)
        forms = self.forms()
        form = chance.choices(list(forms), list(forms.values()))[0]
        makers = self.makers(form)
        names = chance.sample(sorted(makers), chance.randint(1, 4))
        entity = chance.randrange(len(OTHERWISE if form in OF_KEYS else ENTITIES))
        self.views[name] = (entity, {each: makers[each] for each in names}, form)
        return f"{form} view {name} of {', '.join(names)}"

    def change_view(self, chance: random.Random) -> str:
        """Add, drop or redefine a feature."""
        name = chance.choice(sorted(self.views))
        entity, features, form = self.views[name]
        makers = self.makers(form)
        others = sorted(makers.keys() - features)
        features = dict(features)
        if others and (len(features) < 2 or chance.random() < 0.6):
            if chance.random() < 0.3:  # another value under the name of one there is
                each, make = chance.choice(sorted(features)), makers[chance.choice(others)]
                features[each] = make
                what = f"{each} of another kind"
            else:
                each = chance.choice(others)
                features[each] = makers[each]
                what = f"with {each}"
        else:
            each = chance.choice(sorted(features))
            del features[each]
            what = f"without {each}"
        self.views[name] = (entity, features, form)
        return f"view {name} {what}"

    def change_form(self, chance: random.Random) -> str:
        """Have a view look at its source, or be asked for, in another way."""
        name = chance.choice(sorted(self.views))
        entity, features, before = self.views[name]
        without = (before, *(() if ENTITIES[entity].join_keys else OF_KEYS))
        if WIDER.keys() & self.views[name][1].keys():
            without = (*without, "groups")
        form = chance.choice([form for form in self.forms() if form not in without])
        self.views[name] = (entity, features, form)
        return f"{before} view {name} is {form}"

    def regroup(self, chance: random.Random) -> str:
        """Have the rows of the derived source be made otherwise."""
        self.grouping = chance.choice([n for n in range(len(GROUPINGS)) if n != self.grouping])
        function, rows, most = GROUPINGS[self.grouping]
        return f"groups of {rows} to {most} rows, by {function.__name__}"

    def rename_view(self, chance: random.Random) -> str:
        """Give a view another name."""
        free = [name for name in ("V", "W", "X", "Y") if name not in self.views]
        if not free:
            return "no name is free"
        old, new = chance.choice(sorted(self.views)), chance.choice(free)
        self.views[new] = self.views.pop(old)
        return f"view {old} renamed {new}"

    def remove_view(self, chance: random.Random) -> str:
        """Remove a view."""
        name = chance.choice(sorted(self.views))
        del self.views[name]
        return f"view {name} removed"

    def add_service(self, chance: random.Random) -> str:
        """Add or change a service, by whole views or by features."""
        name = chance.choice(("model", "ranker"))
        chosen = chance.sample(sorted(self.views), chance.randint(1, len(self.views)))
        members = []
        for view in chosen:
            features = sorted(self.views[view][1])
            members.append(view if chance.random() < 0.5 else f"{view}:{chance.choice(features)}")
        taken: set[str] = set()
        fit = []
        for member in members:  # one name stands for one feature
            own = {member.partition(":")[2]} if ":" in member else set(self.views[member][1])
            if not own & taken:
                fit.append(member)
                taken |= own
        self.services[name] = fit
        return f"service {name} on {', '.join(fit)}"

    def remove_service(self, chance: random.Random) -> str:
        """Remove a service."""
        name = chance.choice(sorted(self.services))
        del self.services[name]
        return f"service {name} removed"


def _view(
    name: str, source: Source, entity: int, features: dict[str, Maker], form: str
) -> list[FeatureView]:
    """Return a view in one of `FORMS`; with it the view that it is a role of."""
    options: dict[str, Any] = {}
    whose = ENTITIES[entity]
    if form == "lag":
        options["lag"] = "10m"
    if form == "on":
        whose = OTHERWISE[entity]
        options["on"] = dict(zip(whose.key_names, ENTITIES[entity].key_names, strict=True))
    made = {each: make(source) for each, make in features.items()}
    view = FeatureView(name, entity=whose, source=source, features=made, **options)
    if form == "role":
        return [view, view.of(prefix="other_", **ROLES[entity])]
    if form == "fixed":
        return [view, view.at(prefix="fixed_", **FIXED[entity])]
    return [view]
