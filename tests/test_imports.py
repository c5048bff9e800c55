"""No module needs itself: imports have no circles, those inside functions included."""

import ast
from pathlib import Path

import skewless

ROOT = Path(skewless.__file__).parents[1]


def imports() -> dict[str, set[str]]:
    """Return for each module those that it imports, anywhere in it."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((ROOT / "skewless").rglob("*.[cp]*"))
        if path.suffix in (".c", ".py")
    }
    found: dict[str, set[str]] = {module: set() for module in files}
    for module, path in files.items():
        if path.suffix == ".c":
            continue
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
    assert circles(imports()) == []


def test_private_modules_are_imported_within_their_package_alone() -> None:
    strays = []
    for module, needs in imports().items():
        package = module.rpartition(".")[0]
        for other in sorted(needs):
            owner, private, _ = other.partition("._")
            if private and not other.removeprefix(owner).startswith(".__"):
                inside = package == owner or package.startswith(f"{owner}.")
                strays += [] if inside else [f"{module} imports {other}"]
    assert strays == []
