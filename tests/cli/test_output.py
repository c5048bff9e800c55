"""Tables, JSON, errors and colours."""

import io
import json

import pytest
from click.testing import CliRunner

from skewless.cli.output import counting, emit, error_text, paint, progress, short
from skewless.errors import InputError, SkewlessError
from skewless.formatting import count_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_error_is_one_block_with_all_that_is_known() -> None:
    problem = SkewlessError("no such thing", got=1, expected="2", where="here", hint="Try 2.")
    assert error_text(problem) == (
        "Error: no such thing.\n  got:      1\n  expected: 2\n  where:    here\n  hint:     Try 2."
    )


def test_error_of_several_lines_stays_a_block() -> None:
    assert error_text(InputError("bad", got="a\nb")) == "Error: bad.\n  got:      a\n            b"


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("x", "red", io.StringIO()) == "x"
    assert paint("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"


def test_no_color_is_obeyed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red", Terminal()) == "x"


def test_json_holds_times_bytes_and_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"bytes": b"\x01\xff", "high": float("inf"), "none": None})
    found = json.loads(capsys.readouterr().out)
    assert found == {"bytes": "Af8=", "high": "Infinity", "none": None}


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        assert report is None
    assert capsys.readouterr().err == ""


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with progress() as report:
        assert report is not None
        for fraction in (0.25, 0.1, 1.0, 1.5):
            report("reading payments", fraction)
    assert "reading payments" in screen.getvalue()


def test_running_count_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for screen, shown in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr("sys.stderr", screen)
        with counting("rows") as done:
            done(3)
        assert ("rows" in screen.getvalue()) is shown


def test_counts_speak_of_one_and_many() -> None:
    found = [count_of(1, "row"), count_of(1204, "row"), count_of(2, "entity")]
    assert found == ["1 row", "1,204 rows", "2 entities"]


def test_long_text_is_cut_to_a_line() -> None:
    assert short("a\n b") == "a b"
    assert len(short("x" * 100)) == 60


def test_runner_output_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    from skewless.cli.main import main

    monkeypatch.delenv("NO_COLOR", raising=False)
    result = CliRunner().invoke(main, ["plan", "--repo", "/nowhere"])
    assert "\x1b" not in result.output
