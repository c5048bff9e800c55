"""What Airflow lists of this package: ``airflow providers list``. It imports nothing."""

from __future__ import annotations

from typing import Any

_MODULE = "skewless.plugs.airflow"


def info() -> dict[str, Any]:
    """Return what the entry point ``apache_airflow_provider`` has to give.

    Example:
        >>> info()["package-name"]
        'skewless'
    """
    return {
        "package-name": "skewless",
        "name": "skewless",
        "description": "Feature views as assets: materialize, verify, tend, wait until fresh.",
        "integrations": [{"integration-name": "skewless", "tags": ["software"]}],
        "operators": [{"integration-name": "skewless", "python-modules": [_MODULE]}],
        "sensors": [{"integration-name": "skewless", "python-modules": [_MODULE]}],
        "triggers": [{"integration-name": "skewless", "python-modules": [f"{_MODULE}_trigger"]}],
    }
