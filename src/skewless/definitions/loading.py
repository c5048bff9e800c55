"""Import a repo's Python files, and find the functions of definitions again.

A file is imported under its own name (``features.py`` as ``features``, ``teams/fraud.py`` as
``teams.fraud``) with the repo's folder importable, so files of a repo may import one another.
Afterwards its modules are gone from ``sys.modules``: two repos that both have a ``features.py``
do not meet.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from skewless.definitions.derivation import Derivation
from skewless.definitions.on_demand import OnDemandView, code_of, hash_of_text
from skewless.definitions.package_folder import as_package, execute
from skewless.definitions.source import Source
from skewless.errors import DefinitionError, FunctionNotFound, SkewlessError, UnknownName
from skewless.forks import Lock
from skewless.plugins import reading, repo_folder

_LOCK = Lock()
_SEEN: dict[tuple[str, str], Callable[..., Any]] = {}
_CHANGED = "its text has changed since it was applied"
_NEVER_OWN = sys.stdlib_module_names | {"skewless"}


def remember(thing: OnDemandView | Derivation) -> None:
    """Keep the function of a definition for this process, under its path and hash."""
    if thing.function is not None and thing.code:
        _SEEN[thing.code["path"], thing.code["hash"]] = thing.function


def import_files(folder: Path, files: Iterable[str] | None = None) -> list[ModuleType]:
    """Import Python files of a folder and return their modules, in the order of their paths.

    Args:
        folder: the repo's.
        files: names or patterns relative to it; None or none: every ``*.py`` directly in it that
            is neither hidden nor a test.

    Raises:
        DefinitionError: a file is missing or fails; the error names file and line. Errors of
            skewless keep their type.
    """
    folder = folder.absolute()
    with importable(folder):
        return [_import_file(folder, path) for path in files_of(folder, tuple(files or ()))]


def files_of(folder: Path, files: tuple[str, ...]) -> list[Path]:
    """Return the files that hold a repo's definitions, each once.

    Raises:
        DefinitionError: a name or pattern matches no file.
    """
    if not files:
        return sorted(path for path in folder.glob("*.py") if not _is_aside(path.name))
    found: dict[Path, None] = {}
    for pattern in files:
        matches = sorted(path for path in folder.glob(pattern) if path.is_file())
        if not matches:
            known = [path.name for path in folder.glob("*.py")]
            problem = UnknownName.of("file", pattern, known, where=str(folder))
            raise DefinitionError(problem.what, hint=problem.hint)
        found |= dict.fromkeys(matches)
    return list(found)


def _is_aside(name: str) -> bool:
    aside = (".", "_", "test_")
    return (
        name.startswith(aside) or name.endswith("_test.py") or name in ("conftest.py", "setup.py")
    )


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make a folder's modules importable, alone: other modules of their names step aside."""
    with _LOCK:
        own = _own_names(folder)
        before = set(sys.modules.copy())
        aside = _modules(own, lambda module: not _lies_in(module, folder))
        wrote, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        token = repo_folder.set(folder)
        sys.path.insert(0, str(folder))
        for name in aside:
            del sys.modules[name]
        importlib.invalidate_caches()
        try:
            with as_package(folder):
                yield
        finally:
            sys.path.remove(str(folder))
            repo_folder.reset(token)
            sys.dont_write_bytecode = wrote
            for name in _modules(own, lambda module: _lies_in(module, folder)):
                if name not in before or name in aside:
                    del sys.modules[name]
            sys.modules.update(aside)


def restored_function(
    what: str, code: Mapping[str, str], folder: Path | None
) -> Callable[..., Any]:
    """Return the function that ``code`` (path and hash of its text) was recorded of.

    A registry names code, and may come from elsewhere: a file is imported only if it lies in the
    repo, or a file of the repo imports it, and only after the hash was found in its text.

    When the function cannot be found, or its text has changed, the one returned raises
    `FunctionNotFound` where it is called, and says why.
    """
    key = (code["path"], code["hash"])
    if key in _SEEN:
        return _SEEN[key]
    try:
        found = _find(*key, folder)
    except (SkewlessError, ImportError, AttributeError) as problem:
        return _broken(what, code["path"], str(problem))
    if isinstance(found, Source) and found.derivation is not None:
        found = found.derivation
    function = found.function if isinstance(found, (OnDemandView, Derivation)) else found
    if not inspect.isfunction(function):
        return _broken(what, code["path"], "it is no function")
    if code_of(function)["hash"] != code["hash"]:
        return _broken(what, code["path"], _CHANGED)
    _SEEN[key] = function
    return function


def _broken(what: str, place: str, why: str) -> Callable[..., Any]:
    def raise_why(*_: Any, **__: Any) -> Any:
        raise FunctionNotFound(
            f"the function of {what} cannot be used",
            got=why,
            where=place,
            hint="Apply the definitions again, or give FeatureStore the folder they are in.",
        )

    return raise_why


def _find(path: str, mark: str, folder: Path | None) -> Any:
    """Return what a registry calls ``module:name``, if its text has the hash ``mark``."""
    module, _, name = path.partition(":")
    parts = module.split(".")
    if not all(part.isidentifier() for part in (*parts, name)):
        raise ImportError("no name of a function of a module")
    file = None if folder is None else folder.joinpath(*parts).with_suffix(".py")
    if folder is not None and file is not None and file.is_file():
        _check_text(file, name, mark)
        (found,) = import_files(folder, [str(file.relative_to(folder))])
        return getattr(found, name)
    if module not in sys.modules:  # else it was imported by somebody's wish
        if folder is None or not _is_imported(module, folder):
            raise ImportError(f"No module named {module!r} in the repo, nor imported by its files")
        _check_text(_file_of(parts), name, mark)
    return getattr(importlib.import_module(module), name)


def _check_text(file: Path, name: str, mark: str) -> None:
    """Raise `ImportError` unless a file's text has a function of this name and hash."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError) as problem:
        raise ImportError(f"{file.name} cannot be read: {problem}") from None
    lines = [line + "\n" for line in text.split("\n")]
    found = [node for node in ast.walk(tree) if getattr(node, "name", None) == name]
    functions = [node for node in found if isinstance(node, ast.FunctionDef)]
    if not functions:
        raise ImportError(f"{file.name} has no function {name!r}")
    for node in functions:
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        if hash_of_text("".join(inspect.getblock(lines[first - 1 :]))) == mark:
            return
    raise ImportError(_CHANGED)


def _is_imported(module: str, folder: Path) -> bool:
    """Return whether a file of the repo imports a module, by its text."""
    for file in folder.glob("*.py"):
        with suppress(OSError, ValueError, SyntaxError, RecursionError):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == module and not node.level:
                    return True
                if isinstance(node, ast.Import) and module in {each.name for each in node.names}:
                    return True
    return False


def _file_of(parts: list[str]) -> Path:
    """Return the file of an installed module, which is not imported."""
    for place in sys.path:
        for file in (Path(place, *parts).with_suffix(".py"), Path(place, *parts, "__init__.py")):
            if file.is_file():
                return file
    raise ImportError(f"No module named {'.'.join(parts)!r}")


def _own_names(folder: Path) -> set[str]:
    packages = (path for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py")))
    return ({p.stem for p in folder.glob("*.py")} | {p.name for p in packages}) - _NEVER_OWN


def _modules(names: set[str], wanted: Callable[[ModuleType], bool]) -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sys.modules.copy().items()
        if name.partition(".")[0] in names and wanted(module)
    }


def _lies_in(module: ModuleType, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place and Path(place).absolute().is_relative_to(folder) for place in places)


def _import_file(folder: Path, path: Path) -> ModuleType:
    name = ".".join(path.relative_to(folder).with_suffix("").parts)
    if name in _NEVER_OWN:
        raise DefinitionError(
            f"{path.name} has the name of a module of Python's own",
            where=str(path),
            hint="Give the file another name.",
        )
    module = sys.modules.get(name)
    if module is not None and _lies_in(module, folder):
        return module  # an earlier file has imported it
    token = reading.set(path)
    try:
        return execute(folder, name, path)
    except SkewlessError as problem:
        place = _place(problem, folder, path)
        problem.where = place if problem.where is None else f"{problem.where} ({place})"
        raise
    except (Exception, SystemExit) as problem:
        raise DefinitionError(
            f"{path.name} cannot be imported",
            got=f"{type(problem).__name__}: {problem}",
            where=_place(problem, folder, path),
        ) from problem
    finally:
        reading.reset(token)


def _place(problem: BaseException, folder: Path, path: Path) -> str:
    """Return file and line, of the folder's, where an exception comes from."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{problem.filename}, line {problem.lineno}"
    frames = traceback.extract_tb(problem.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    if not inside:
        return str(path)
    return f"{inside[-1].filename}, line {inside[-1].lineno}"
