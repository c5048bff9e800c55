"""No module needs itself: imports have no circles, those inside functions included."""

import ast
from pathlib import Path

import skewless

ROOT = Path(skewless.__file__).parents[1]
TO_OPEN: list[set[str]] = [
    {"aggregations.base", "aggregations.swept"},
    {"aggregations.kernels", "aggregations.kernels.compiled_kernels",
     "aggregations.kernels.latest"},
    {"definitions.aggregatable", "definitions.aggregate", "definitions.expressions",
     "definitions.source"},
    {"state.layout", "state.tiles"},
]  # fmt: skip
"""Circles there still are; a new one is not to be added, and one that was opened is to go."""


def imports() -> dict[str, set[str]]:
    """Return for each module those that it imports, anywhere in it."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "skewless").rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                inside = {f"{node.module}.{each.name}" for each in node.names}
                names |= inside & files.keys() or {node.module}
        found[module] = names & files.keys()
    found["skewless"] = set()  # it only names what it exports
    return found


def circles(needs: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of modules that all need each other."""
    reached: dict[str, set[str]] = {}
    for module in needs:
        seen: set[str] = set()
        waiting = [module]
        while waiting:
            for other in needs[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        reached[module] = seen
    found: list[set[str]] = []
    for module in sorted(needs):
        circle = {other for other in reached[module] if module in reached[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def test_a_circle_is_found() -> None:
    needs = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}
    assert circles(needs) == [{"a", "b", "c"}]


def test_no_modules_import_each_other() -> None:
    found = [{name.removeprefix("skewless.") for name in some} for some in circles(imports())]
    assert found == TO_OPEN
