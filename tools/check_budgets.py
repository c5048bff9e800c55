"""Checks the budgets of size and start-up: `python tools/check_budgets.py`, part of `make lint`.

A limit is raised for one file or function under `[tool.skewless.budgets]` in pyproject.toml, with a
reason. An entry that is no longer needed fails too, so that the list only holds what is true.
"""

import ast
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKED = ("src", "tests", "tools", "benchmarks", "examples")
FILE_LINES, FUNCTION_LINES, PARAMETERS = 600, 60, 8
# Wanted is the aim. Allowed begins lower: one property test here stands for many written out,
# and the same suite runs over every store and engine.
RATIO_WANTED, RATIO_ALLOWED = (1.0, 1.6), (0.45, 1.8)
IMPORT_SECONDS, CLI_SECONDS = 0.15, 0.3
HEAVY = (
    *("numba", "numpy", "pandas", "polars", "pyarrow"),
    *("boto3", "botocore", "cassandra", "confluent_kafka", "datasketches", "deltalake", "duckdb"),
    *("google.cloud", "lmdb", "matplotlib", "psycopg", "pyiceberg", "pymongo", "redis", "sklearn"),
    *("uvicorn", "uvloop"),
)


@dataclass(frozen=True)
class Size:
    """One measured thing: where it is, what was measured, how large it is, how large it may be."""

    where: str
    what: str
    size: int
    limit: int


def sizes_of(path: Path) -> Iterator[Size]:
    """Lines of a file; lines and parameters of its functions (named `file::Class.function`)."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    yield Size(name, "lines", len(text.splitlines()), FILE_LINES)
    if path.suffix == ".py":
        for qualified, node in functions_of(ast.parse(text, filename=str(path))):
            where = f"{name}::{qualified}"
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Size(where, "lines", lines, FUNCTION_LINES)
            yield Size(where, "parameters", parameters_of(node), PARAMETERS)


def functions_of(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function below `tree`, methods and nested ones included, with its qualified name."""
    for node in ast.iter_child_nodes(tree):
        inner = prefix
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{prefix}{node.name}."
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
        yield from functions_of(node, inner)


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Number of parameters; self and cls are not counted."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    if named and named[0].arg in ("self", "cls"):
        named = named[1:]
    starred = [star for star in (arguments.vararg, arguments.kwarg) if star]
    return len(named) + len(arguments.kwonlyargs) + len(starred)


def check_sizes() -> list[str]:
    """What is over its limit, and raised limits without a reason or without need."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    raised = config["tool"]["skewless"]["budgets"]
    problems = [
        f"{where}: a raised limit needs a reason"
        for where in raised
        if not raised[where].get("reason")
    ]
    unused = {(where, what) for where in raised for what in raised[where] if what != "reason"}
    for path in sources(*CHECKED):
        for size in sizes_of(path):
            if size.size <= size.limit:
                continue
            unused.discard((size.where, size.what))
            limit = raised.get(size.where, {}).get(size.what, size.limit)
            if size.size > limit:
                problems.append(f"{size.where}: {size.size} {size.what}, the budget is {limit}")
    problems += [
        f"{where}: the raised limit of {what} is not needed any more"
        for where, what in sorted(unused)
    ]
    return problems


def sources(*parts: str) -> list[Path]:
    """Python and C files below the given directories."""
    return [
        path
        for part in parts
        for path in sorted((ROOT / part).rglob("*.*"))
        if path.suffix in (".py", ".c", ".h")
    ]


def check_ratio() -> list[str]:
    """Lines of tests for each line of code, blank lines and documentation of neither counted.

    The suites that ship in `skewless.testing` are tests.
    """
    suites = [path for path in sources("src/skewless/testing") if path.suffix == ".py"]
    code = sum(map(lines_of_code, set(sources("src")) - set(suites)))
    tests = sum(map(lines_of_code, [*sources("tests"), *suites]))
    if code == 0:
        return ["src holds no code yet"]
    ratio = tests / code
    report(f"code {code} lines, tests {tests} lines, ratio", ratio, RATIO_WANTED)
    if RATIO_ALLOWED[0] <= ratio <= RATIO_ALLOWED[1]:
        return []
    return [f"ratio of tests to code is {ratio:.2f}, allowed is {RATIO_ALLOWED}"]


def lines_of_code(path: Path) -> int:
    """Number of lines of a file without blank lines, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    documentation: set[int] = set()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                documentation |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    comments = ("#",) if path.suffix == ".py" else ("//", "/*", "*")
    return sum(
        bool(line.strip()) and not line.strip().startswith(comments) and number not in documentation
        for number, line in enumerate(text.splitlines(), start=1)
    )


def check_imports() -> list[str]:
    """Heavy modules that `import skewless` pulls in."""
    code = f"import sys, skewless; print(*sorted(m for m in {HEAVY!r} if m in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if result.returncode:
        return [f"import skewless fails: {result.stderr.strip().splitlines()[-1]}"]
    return [f"import skewless pulls in {name}" for name in result.stdout.split()]


def report_start_up() -> None:
    """Print the time of `import skewless` and of starting the command line, best of five."""
    nothing = best_of_five("pass")
    imported = best_of_five("import skewless") - nothing
    report("seconds of import skewless", imported, (0, IMPORT_SECONDS))
    if (ROOT / "src/skewless/cli/main.py").exists():
        started = best_of_five(
            "import sys; from skewless.cli.main import main; sys.argv[1:] = ['--version']; main()"
        )
        report("seconds of skewless --version", started, (0, CLI_SECONDS))


def report(what: str, value: float, wanted: tuple[float, float]) -> None:
    """Print one measured value, and the range wanted when it is outside."""
    hint = "" if wanted[0] <= value <= wanted[1] else f"  <- wanted: {wanted[0]} to {wanted[1]}"
    print(f"{what}: {value:.3f}{hint}")


def best_of_five(code: str) -> float:
    """Seconds a new Python takes to run `code`, the shortest of five runs."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> int:
    """Print every problem; 1 if there is one."""
    problems = check_sizes() + check_ratio()
    if (ROOT / "src/skewless/__init__.py").exists():
        problems += check_imports()
        report_start_up()
    else:
        print("LEFT OUT: src/skewless/__init__.py is missing, so nothing can be imported")
    for problem in problems:
        print(f"over budget: {problem}")
    print("budgets: " + (f"{len(problems)} broken" if problems else "kept"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
