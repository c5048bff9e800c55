"""Running commands in this process, and looking at what came out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skewless.cli.main import main

Run = Callable[..., Result]


def run_in(folder: Path, *words: str, input: str | bytes | None = None) -> Result:
    """Run a command in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(main, list(words), input=input)


def ran(result: Result, code: int = 0) -> Result:
    """The result, which has this exit code."""
    assert result.exit_code == code, result.output
    return result


def data_of(result: Result, code: int = 0) -> Any:
    """The JSON on stdout, which holds nothing else."""
    return json.loads(ran(result, code).stdout)
