"""A repo whose folder is a package: ``from feature_repo.entities import card`` works in its files.

A file of a repo is imported under its own name (``entities``). Where the folder has an
``__init__.py``, ``feature_repo.entities`` and ``from .entities`` are that same module, whichever is
imported first: there is one `Entity` of each, and functions keep the names they are found by.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


def package_of(folder: Path) -> str | None:
    """Return the name by which a folder's files may import one another, None if it is no package.

    A folder below other packages has their names in front of its own.
    """
    names: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names) or None


@contextmanager
def as_package(folder: Path) -> Iterator[None]:
    """Let the files of a folder import one another by its package's name as well."""
    package = package_of(folder)
    if package is None:
        yield
        return
    top = package.partition(".")[0]
    aside = {n: m for n, m in sys.modules.copy().items() if n == top or n.startswith(f"{top}.")}
    for name in aside:
        del sys.modules[name]
    finder = _Finder(folder, package)
    root = str(folder.parents[package.count(".")])
    sys.meta_path.insert(0, finder)
    sys.path.append(root)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path.remove(root)
        for name in [n for n in sys.modules.copy() if n == top or n.startswith(f"{top}.")]:
            del sys.modules[name]
        sys.modules.update(aside)


def execute(folder: Path, name: str, path: Path) -> ModuleType:
    """Return the module of a file, new, after it has run.

    Args:
        folder: the repo's.
        name: of the module: its path in the folder, with dots.
        path: of the file.
    """
    package = package_of(folder)
    full_name = name if package is None else f"{package}.{name}"
    spec = importlib.util.spec_from_file_location(full_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    module.__name__ = name
    names = {name, full_name}
    sys.modules.update(dict.fromkeys(names, module))
    try:
        code: Any = spec.loader.get_code(full_name)  # type: ignore[attr-defined]
        exec(code, module.__dict__)
    except BaseException:
        for each in names:
            sys.modules.pop(each, None)
        raise
    return module


class _Finder(MetaPathFinder):
    """Finds the modules of a folder, by their own names and by those within its package."""

    def __init__(self, folder: Path, package: str) -> None:
        self.folder = folder
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, None if it is none of the folder's."""
        del path, target
        inner = fullname.removeprefix(f"{self.package}.")
        if fullname == self.package or (inner == fullname and "." in fullname):
            return None  # the package itself, a module of another one: as always
        file = self.folder.joinpath(*inner.split(".")).with_suffix(".py")
        if not file.is_file():
            return None
        return ModuleSpec(fullname, _Same(self.folder, inner, file), origin=str(file))


class _Same(Loader):
    """Gives the module of a file, whatever it is asked for as."""

    def __init__(self, folder: Path, name: str, file: Path) -> None:
        self.folder, self.name, self.file = folder, name, file
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module: the one that is there, or one that has just run."""
        del spec
        module = sys.modules.get(self.name) or execute(self.folder, self.name, self.file)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it has run."""
        module.__spec__ = self.spec
