"""Run the tests of plugs, each against the real tool in an environment of its own.

    python tools/plug_tests.py                 all of them
    python tools/plug_tests.py mlflow mcp      these
    python tools/plug_tests.py --turn 383      one in rotation, and those that changed lately;
                                               what cannot be installed is said and passed over
    python tools/plug_tests.py --table         the table of docs/plugs.md

Heavy ones have no turn: they run when they are named, and with all.
tests/plugs/plugs.toml says what is installed. Environments stay in .venv-plugs/ and are made anew
when that file's entry changes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PLUGS: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "tests/plugs/plugs.toml").read_text())
LATELY = 20
"""Commits: a plug whose files one of these changed is run beside the one whose turn it is."""


def main() -> int:
    """Run what the command line asks for; the exit code of the first run that fails."""
    parser = argparse.ArgumentParser(prog="tools/plug_tests.py")
    parser.add_argument(
        "names", nargs="*", choices=[*PLUGS, []], metavar="plug", help=", ".join(PLUGS)
    )
    parser.add_argument(
        "--turn", type=int, help="run one of them, by this number, and changed ones"
    )
    parser.add_argument("--table", action="store_true", help="print the table of docs/plugs.md")
    given = parser.parse_args()
    if given.table:
        print(table())
        return 0
    names = list(given.names or PLUGS)
    if given.turn is not None:
        light = [name for name, plug in PLUGS.items() if not plug.get("heavy")]
        wanted = [light[given.turn % len(light)], *changed()]
        names = [name for name in dict.fromkeys(wanted) if name in light]
    return max(run(name, forgiving=given.turn is not None) for name in names)


def table() -> str:
    """Return the plugs with the versions they were tested with, as Markdown."""
    lines = ["| tool | what it does | install | tested with |", "|---|---|---|---|"]
    for plug in PLUGS.values():
        install = f"`pip install 'skewless[{plug['extra']}]'`" if plug["extra"] else "nothing more"
        title = f"[{plug['title']}](#{plug['title'].lower().replace(' ', '-')})"
        pins = [*plug.get("before", []), *plug["pins"]]
        tested = ", ".join(pin.replace("==", " ") for pin in pins)
        lines.append(f"| {title} | {plug['does']} | {install} | {tested} |")
    return "\n".join(lines)


def changed() -> list[str]:
    """Return the plugs whose files the last commits touched."""
    command = ["git", "log", f"-{LATELY}", "--name-only", "--format="]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    rooms = ("src/skewless/plugs/", "tests/plugs/")  # a path given to git would count commits of it
    found = [path for path in listed.splitlines() if path.startswith(rooms)]
    stems = {Path(path).stem.removeprefix("test_") for path in found}
    return [name for name in PLUGS if any(stem.startswith(name) for stem in stems)]


def run(name: str, *, forgiving: bool) -> int:
    """Make the environment of a plug where it is not made, and run its tests there.

    Args:
        name: of the plug.
        forgiving: whether a tool that cannot be installed is said and passed over. Asked for by
            name it is a failure; in turn it is nobody's who changed something else.
    """
    plug, folder = PLUGS[name], ROOT / ".venv-plugs" / name
    made, wanted = folder / "made.json", json.dumps(plug)
    python = folder / "bin/python"
    if not made.exists() or made.read_text() != wanted:
        print(f"Installing {plug['title']} into {folder.relative_to(ROOT)} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        extras = ",".join(filter(None, (plug["extra"], plug.get("beside"))))
        extra = f"[{extras}]" if extras else ""
        what = ["--editable", f".{extra}", *plug["pins"], "pytest>=8.3", "hypothesis>=6.112"]
        # One after the other: what another package pins may be raised by a later one.
        codes = (_install(python, some) for some in (plug.get("before", []), what) if some)
        code = next((code for code in codes if code), 0)
        if code:
            print(f"{plug['title']} could not be installed: its tests were NOT run", flush=True)
            return 0 if forgiving else code
        made.write_text(wanted)
    # Warnings of other people's packages are not ours to fail on.
    pytest = [str(python), "-m", "pytest", "-q", "-W", "default", f"tests/plugs/test_{name}.py"]
    return subprocess.run(
        pytest, cwd=ROOT, env=os.environ | {"SKEWLESS_PLUG": name}, check=False
    ).returncode


def _install(python: Path, what: list[str]) -> int:
    """Install packages into an environment; return the exit code."""
    uv = Path(sys.executable).with_name("uv")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    command = [*(command if uv.exists() else pip), *what]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
