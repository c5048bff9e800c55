"""What is assumed of a business, from a file: ``value.toml``. No figure of it stands in the code.

>>> print(TEMPLATE.splitlines()[0])
# What is assumed, for `skewless value`. A line without a figure is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.config import read_toml
from skewless.errors import ConfigError, UnknownName

FILE = "value.toml"
TEMPLATE = """\
# What is assumed, for `skewless value`. A line without a figure is not counted.
currency = "EUR"

[people]
# cost_of_an_hour =                # of an engineer
# hours_for_a_feature =            # to build, test and run one once more, for another model
# hours_for_a_training_set =       # to join one by hand, without leakage

[serving]
# vectors_a_year =                 # read of all services
# milliseconds_before =            # of machine time for a vector, as it is done without the store
# cost_of_a_machine_hour =

[errors]
# a_year_for_a_point_of_auc =      # what 0.01 of AUC of a model is worth in a year
"""
_KEYS = {
    "people": ("cost_of_an_hour", "hours_for_a_feature", "hours_for_a_training_set"),
    "serving": ("vectors_a_year", "milliseconds_before", "cost_of_a_machine_hour"),
    "errors": ("a_year_for_a_point_of_auc",),
}


@dataclass(frozen=True)
class Assumptions:
    """The figures of a file.

    Attributes:
        file: where they stand.
        currency: of all money.
        figures: ``section.key`` to its figure; those that are not there are not assumed.
    """

    file: str
    currency: str
    figures: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> Assumptions:
        """Read a file.

        Raises:
            ConfigError: there is none, or it has an unknown key or a figure that is none.
        """
        hint = f"Begin with: skewless value --template > {FILE}"
        absent = ConfigError("what is assumed is not written down", got=str(path), hint=hint)
        data = read_toml(path, absent)
        currency = data.pop("currency", "")
        if not isinstance(currency, str):
            raise _wrong("currency", currency, "a text", path)
        figures: dict[str, float] = {}
        for section, given in data.items():
            _known("section", section, _KEYS, path)
            if not isinstance(given, dict):
                raise _wrong(section, given, f"a section: [{section}]", path)
            for key, value in given.items():
                _known("key", key, _KEYS[section], path)
                if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                    raise _wrong(f"{section}.{key}", value, "a number from 0 on", path)
                figures[f"{section}.{key}"] = float(value)
        return cls(path.name, currency, figures)


def _known(what: str, name: str, known: Any, path: Path) -> None:
    if name not in known:
        raise ConfigError(str(UnknownName.of(what, name, known, where=str(path))))


def _wrong(key: str, value: object, expected: str, path: Path) -> ConfigError:
    what = f"{key!r} has a wrong value"
    return ConfigError(what, got=repr(value), expected=expected, where=str(path))
