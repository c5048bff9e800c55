"""The lock fits the dependencies, and what CI runs in turn is there."""

import doctest
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
LOCK = (ROOT / "constraints.txt").read_text(encoding="utf-8")
IMAGE = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
ROOMS = {
    "state", "plan", "aggregations", "engines", "stores", "online", "training", "ingest",
    "materialize", "serving", "ledger", "lineage", "checks", "quality", "tend", "ui", "monitoring",
}  # fmt: skip


def locked(text: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.\[\]-]+)==([^\s;\\]+)", text, re.MULTILINE):
        found.setdefault(canonicalize_name(name.partition("[")[0]), []).append(Version(version))
    return found


def wanted() -> Iterator[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    for line in (*PROJECT["dependencies"], *(line for extra in extras for line in extra)):
        if not line.startswith("skewless["):
            yield Requirement(line)


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        yield {name: __import__(name) for name in ("audit", "coverage_rooms", "plug_tests")}


def test_the_lock_has_a_version_of_each_dependency_that_fits() -> None:
    versions = locked(LOCK)
    assert len(versions) > 100
    assert [
        str(each) for each in wanted()
        if not all(map(each.specifier.contains, versions.get(canonicalize_name(each.name), [Version("0")])))
    ] == [], "run: make lock"  # fmt: skip


def test_every_dependency_has_a_lower_bound() -> None:
    assert [str(e) for e in wanted() if not {s.operator for s in e.specifier} & {">=", "=="}] == []


def test_the_image_has_the_versions_of_the_lock_by_their_hashes() -> None:
    versions, image = locked(LOCK), locked(IMAGE)
    assert {"lmdb", "uvicorn", "redis", "psycopg"} <= image.keys()
    assert {n: found for n, found in image.items() if not set(found) <= set(versions[n])} == {}
    parts = re.split(r"\n(?=\S)", IMAGE.strip())
    assert len(parts) == len(image)
    assert [part for part in parts if "--hash=sha256:" not in part] == []


@pytest.mark.parametrize("text", [LOCK, IMAGE], ids=["lock", "image"])
def test_a_lock_names_no_address(text: str) -> None:
    assert "://" not in text
    assert " @ " not in text


def test_every_room_is_measured_and_no_floor_is_low(tools: dict[str, ModuleType]) -> None:
    made = tools["coverage_rooms"]
    rooms = [room for group in made.GROUPS.values() for room in group]
    assert sorted(rooms) == sorted(ROOMS)
    assert made.FLOOR >= 90
    missing = [room for room in rooms if not (ROOT / "src/skewless" / room).is_dir()]
    missing += [path for more in made.MORE.values() for path in more if not (ROOT / path).exists()]
    assert missing == []


def test_ci_has_a_turn_for_each_group_and_the_oldest_versions(tools: dict[str, ModuleType]) -> None:
    turns = re.search(r"turns=\(([\w ]+)\)", CI)
    assert turns is not None
    assert set(turns[1].split()) == {"minimum", *tools["coverage_rooms"].GROUPS}


def test_wheels_are_built_for_every_python_and_hold_every_module_in_c() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheels = settings["tool"]["cibuildwheel"]
    named = re.findall(r":: (3\.\d+)$", "\n".join(settings["project"]["classifiers"]), re.MULTILINE)
    assert wheels["build"].split() == [f"cp{each.replace('.', '')}-*" for each in named]
    archs = {name: set(wheels[name]["archs"]) for name in ("linux", "macos")}
    assert archs == {"linux": {"x86_64", "aarch64"}, "macos": {"x86_64", "arm64"}}
    script, option = wheels["test-command"].removeprefix("python {project}/").split()
    smoke = (ROOT / script).read_text(encoding="utf-8")
    assert option in smoke
    built = re.findall(
        r'"(skewless\.[\w.]+)": "src', (ROOT / "setup.py").read_text(encoding="utf-8")
    )
    assert re.findall(r'^    "(skewless\.[\w.]+)",$', smoke, re.MULTILINE) == built


def test_the_quick_part_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    quick = re.search(r"^QUICK := \$\(addprefix tests/,([\w ]+)\)", makefile, re.MULTILINE)
    assert quick is not None
    assert [name for name in quick[1].split() if not (ROOT / "tests" / name).is_dir()] == []


def test_every_supported_python_is_named_whether_here_or_not() -> None:
    told = subprocess.run(
        [ROOT / "tools" / "pythons.sh"], capture_output=True, text=True, check=True
    )
    found = dict(line.split(" ", 1) for line in told.stdout.splitlines())
    marks = (re.search(r"Python :: (3\.\d+)$", each) for each in PROJECT["classifiers"])
    assert list(found) == [mark[1] for mark in marks if mark]
    assert {
        path for path in found.values() if path != "not here" and not Path(path).exists()
    } == set()


@pytest.mark.parametrize("name", ["audit", "coverage_rooms"])
def test_examples_of_a_tool_run(tools: dict[str, ModuleType], name: str) -> None:
    found = doctest.testmod(tools[name])
    assert (found.failed, found.attempted > 0) == (0, True)


def test_a_known_vulnerability_fails_the_audit_and_silence_does_not(
    tools: dict[str, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    audit = tools["audit"]
    fine: dict[str, Any] = {"name": "left", "version": "2.0", "vulns": []}
    bad = fine | {"vulns": [{"id": "X-1", "fix_versions": []}]}
    for answers, code, said in (
        ({}, 0, "no source answers"),
        ({"osv": [fine]}, 0, "1 versions of constraints.txt looked up"),
        ({"pypi": [fine], "osv": [bad]}, 0, "1 versions"),
        ({"pypi": [fine, bad]}, 1, "left 2.0: X-1, mended in no version"),
    ):
        monkeypatch.setattr(
            audit, "answers_of", lambda source, found=answers: found.get(source, [])
        )
        assert audit.main() == code
        assert said in capsys.readouterr().out


def test_a_tool_that_is_not_to_be_had_is_silence(
    tools: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert tools["audit"].answers_of("pypi") == []


def test_the_table_of_plugs_is_that_of_the_file_they_are_installed_by(
    tools: dict[str, ModuleType],
) -> None:
    assert tools["plug_tests"].table() in (ROOT / "docs/plugs.md").read_text("utf-8")


def test_every_plug_has_a_module_a_test_and_an_extra_that_exists(
    tools: dict[str, ModuleType],
) -> None:
    for name, plug in tools["plug_tests"].PLUGS.items():
        module = ROOT / f"src/skewless/plugs/{name}"
        assert module.is_dir() or module.with_suffix(".py").exists()
        assert (ROOT / f"tests/plugs/test_{name}.py").exists()
        assert set(plug["extra"].split(",")) <= {*PROJECT["optional-dependencies"], ""}
        assert all("==" in pin for pin in plug["pins"])


def test_a_plug_counts_as_changed_for_twenty_commits(
    tools: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def commit(path: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        for said in (("add", "-A"), (*who, "commit", "-q", "-m", path)):
            subprocess.run(["git", *said], cwd=tmp_path, check=True)

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    plugs = tools["plug_tests"]
    monkeypatch.setattr(plugs, "ROOT", tmp_path)
    commit("src/skewless/plugs/mlflow.py")
    commit("tests/plugs/test_duckdb.py")
    assert sorted(plugs.changed()) == ["duckdb", "mlflow"]
    for number in range(plugs.LATELY - 1):
        commit(f"docs/{number}.md")
    assert plugs.changed() == ["duckdb"]


def test_a_tool_that_cannot_be_installed_fails_those_who_name_it(
    tools: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugs = tools["plug_tests"]
    plug = dict(next(iter(plugs.PLUGS.values())), pins=["no-such==1"])
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 1 if "no-such==1" in command else 0)

    monkeypatch.setattr(plugs, "PLUGS", {"odd": plug})
    monkeypatch.setattr(plugs, "ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    assert plugs.run("odd", forgiving=True) == 0
    assert plugs.run("odd", forgiving=False) == 1
    assert not any("pytest" in command for command in ran)
