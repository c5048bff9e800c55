"""Exit codes tell scripts what happened; errors are blocks, or JSON with --json."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skewless.cli.main import main
from skewless.errors import StoreUnavailable
from skewless.store import FeatureStore
from tests.cli.running import Run, data_of, ran

PROGRAM = [sys.executable, "-m", "skewless.cli.main"]


def invoke(*words: str) -> Any:
    return CliRunner().invoke(main, list(words))


def test_without_a_command_the_help_is_shown() -> None:
    assert "Start:" in ran(invoke()).stdout


def test_unknown_command_is_a_usage_error_that_names_the_closest() -> None:
    result = ran(invoke("plann"), 2)
    assert (result.stdout, "Did you mean 'plan'?" in result.stderr) == ("", True)


@pytest.mark.parametrize(
    "words", [["plan", "--chekc"], ["get"], ["push", "x"], ["history", "--limit", "0"]]
)
def test_wrong_usage_exits_with_2_and_says_where_help_is(words: list[str]) -> None:
    result = ran(invoke(*words), 2)
    assert result.stdout == ""
    assert f"hint:     See skewless {words[0]} --help." in result.stderr


def test_error_of_skewless_is_a_block_without_a_traceback() -> None:
    result = ran(invoke("plan", "--repo", "/nowhere"), 2)
    assert result.stderr == (
        "Error: there is no such repo.\n"
        "  got:      /nowhere\n"
        "  expected: a folder, perhaps with a skewless.toml\n"
        "  hint:     Make one with: skewless init\n"
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["plan", "--repo", "/nowhere"], "ConfigError"),
        (["plann"], "UnknownName"),
        (["plan", "--chekc"], "InputError"),
    ],
)
def test_error_with_json_is_an_object_on_stdout(words: list[str], error: str) -> None:
    result = invoke(*words, "--json")
    assert data_of(result, 2)["error"] == error
    assert result.stderr == ""


def test_store_that_cannot_be_reached_exits_with_3(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the store is away", where="cache:6379")

    monkeypatch.setattr(FeatureStore, "get_online_features", refuse)
    result = run("get", "fraud_model", "card_id=c1")
    assert "the store is away" in ran(result, 3).stderr
    assert data_of(run("get", "fraud_model", "card_id=c1", "--json"), 3)["where"] == "cache:6379"


def test_refusal_of_the_operating_system_is_a_block(run: Run, shop: Path) -> None:
    (shop / "out.parquet").mkdir()
    words = ["historical", "data/labels.csv", "Spend", "--timestamp", "at", "--out"]
    result = run(*words, str(shop / "out.parquet" / "x" / "y.parquet"))
    assert "there is no such folder" in ran(result, 2).stderr
    (shop / "t.parquet" / "inner").mkdir(parents=True)
    (shop / ".t.csv.partial").mkdir()
    result = run(*words, "t.csv")
    assert "Traceback" not in ran(result, 2).stderr


def test_interrupted_question_exits_with_130(new_shop: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "apply"],
        cwd=new_shop,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    asked = b""
    while b"Apply this?" not in asked:
        letter = process.stderr.read(1)
        assert letter, asked
        asked += letter
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in stderr) == (130, False)


def test_interrupted_work_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureStore, "plan", interrupt)
    assert "Traceback" not in ran(run("plan"), 130).output


def test_reader_that_went_away_is_no_error(shop: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PROGRAM, "read", "Spend", "--json"],
        cwd=shop,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_output_of_one_command_feeds_the_next(shop: Path) -> None:
    line = '{"card_id": "c1"}\n{"card_id": "c2"}\n'
    done = subprocess.run(
        [*PROGRAM, "get", "Spend:payments_24h", "--entities", "-", "--json"],
        cwd=shop,
        input=line.encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"payments_24h") == 2
