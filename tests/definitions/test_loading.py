"""Repos as folders of Python files."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from skewless import plugins
from skewless.definitions import loading
from skewless.definitions.loading import restored_function
from skewless.definitions.repo import Definitions, load_folder
from skewless.errors import DefinitionError, UnknownName
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.shop import applied

ENTITIES = """
    import skewless.definitions as sl

    card = sl.Entity("card", card_id=str)
    payments = sl.Source(
        "payments", schema={"card_id": str, "amount": float}, event_time="at"
    )
"""
FEATURES = """
    import skewless.definitions as sl
    from entities import card, payments

    @sl.feature_view(entity=card, source=payments)
    class Spend:
        mean = payments.amount.mean("7d")

    @sl.on_demand(inputs={"mean": Spend.mean}, returns={"twice": float})
    def Twice(mean):
        return {"twice": mean * 2}

    model = sl.FeatureService("model", [Spend, Twice])
"""


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write(tmp_path / "repo", entities=ENTITIES, features=FEATURES)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not yet seen a function."""
    monkeypatch.setattr(loading, "_SEEN", {})


def test_a_folder_is_all_its_files(repo: Path) -> None:
    definitions = load_folder(repo)
    assert [thing.name for thing in definitions] == [
        "card", "payments", "Spend", "Twice", "model",
    ]  # fmt: skip


def test_what_a_function_made_may_stand_in_a_list_or_dict(tmp_path: Path) -> None:
    made = """
        import skewless.definitions as sl
        from entities import card, payments

        def view(name, window):
            features = {f"{name}_sum": payments.amount.sum(window)}
            return sl.FeatureView(name, entity=card, source=payments, features=features)

        views = [view("Hour", "1h"), view("Day", "1d")]
        more = {"week": view("Week", "7d")}
        windows = ["1h", "1d"]
        nothing = []
        mixed = [view("Lost", "1h"), "1h"]
    """
    found = load_folder(write(tmp_path / "made", entities=ENTITIES, features=made))
    assert list(found.views) == ["Hour", "Day", "Week"]


def test_modules_and_paths_do_not_stay(repo: Path) -> None:
    modules, path = set(sys.modules), list(sys.path)
    load_folder(repo)
    assert {"features", "entities"} & set(sys.modules) == set()
    assert set(sys.modules) - modules == set()
    assert sys.path == path
    assert not list(repo.rglob("__pycache__"))


def test_two_repos_with_files_of_one_name_do_not_meet(repo: Path, tmp_path: Path) -> None:
    other = write(
        tmp_path / "other",
        entities=ENTITIES.replace("card_id", "number"),
        features=FEATURES.replace("7d", "14d"),
    )
    windows = [
        repr(load_folder(folder).views["Spend"].expressions["mean"])
        for folder in (repo, other, repo)
    ]
    assert [window[-2:] for window in windows] == ["7d", "4d", "7d"]
    assert load_folder(other).entities["card"].key_names == ("number",)


def test_a_module_of_the_same_name_steps_aside_and_comes_back(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "entities", sys)
    assert list(load_folder(repo).entities) == ["card"]
    assert sys.modules["entities"] is sys


def test_a_changed_file_is_read_again_at_once(repo: Path) -> None:
    load_folder(repo)
    write(repo, features=FEATURES.replace("7d", "8d"))
    assert repr(load_folder(repo).views["Spend"].expressions["mean"]).endswith("8d")


def test_tests_and_hidden_files_are_left_out(repo: Path) -> None:
    broken = "raise RuntimeError"
    write(repo, test_x=broken, x_test=broken, conftest=broken, _draft=broken, setup=broken)
    (repo / ".hidden.py").write_text(broken)
    assert len(load_folder(repo)) == 5


def test_only_the_files_that_are_named_are_read(repo: Path) -> None:
    write(repo, broken="raise RuntimeError")
    assert list(load_folder(repo, ["features.py"]).views) == ["Spend"]
    assert list(load_folder(repo, ["feat*.py"]).views) == ["Spend"]


def test_files_in_folders_are_read_by_pattern(repo: Path) -> None:
    fraud = "from entities import card\nfrom teams.shared import shared\n"
    write(repo / "teams", fraud=fraud, shared="import skewless.definitions as sl\nshared = 1\n")
    assert list(load_folder(repo, ["teams/*.py"]).entities) == ["card"]
    assert [name for name in sys.modules if name.startswith("teams")] == []


def test_a_file_that_is_missing_is_told_with_the_nearest(repo: Path) -> None:
    with pytest.raises(DefinitionError, match=r"no file 'feature.py'.*Did you mean 'features.py'"):
        load_folder(repo, ["feature.py"])


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no such folder"):
        load_folder(tmp_path / "nowhere")


def test_the_name_of_a_standard_module_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "repo", json="x = 1")
    with pytest.raises(DefinitionError, match=r"json.py has the name of a module of Python's own"):
        load_folder(folder)


def test_paths_of_tables_start_at_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader:
        def __init__(self, table: Any, base: Path, settings: Any) -> None:
            self.base = base

        def schema(self) -> dict[str, type]:
            assert self.base == tmp_path / "repo"
            return {"card_id": str, "amount": float}

    monkeypatch.setattr(plugins, "find", lambda *_: Reader)
    folder = write(
        tmp_path / "repo",
        features="""
            from skewless.definitions import Source
            from skewless.definitions.tables import Parquet

            late = Source("late", event_time="at", table=Parquet("data/"))
            early = Source("early", event_time="at", table=Parquet("data/"))
            mean = early.amount.mean("1h")
        """,
    )
    sources = load_folder(folder).sources
    assert [list(source.columns) for source in sources.values()] == [
        ["card_id", "amount", "at"],
        ["card_id", "amount", "at"],
    ]


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("\n\n1 / 0\n", "ZeroDivisionError: division by zero", 3),
        ("x = (1\n", "SyntaxError", 1),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'", 1),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0", 2),
        ("\nfrom helper import fail\nfail()\n", "RuntimeError: broken", 2),
    ],
)
def test_an_error_in_a_file_is_told_with_its_line(
    tmp_path: Path, text: str, message: str, line: int
) -> None:
    folder = write(
        tmp_path / "repo", features=text, helper="def fail():\n    raise RuntimeError('broken')\n"
    )
    with pytest.raises(DefinitionError, match=message) as caught:
        load_folder(folder)
    assert f", line {line}." in str(caught.value)
    assert "features" not in sys.modules


def test_an_error_of_skewless_keeps_its_type_and_gets_the_line(repo: Path) -> None:
    write(repo, features=FEATURES.replace("payments.amount", "payments.amonut"))
    with pytest.raises(UnknownName, match=r"'amonut'.*Did you mean 'amount'") as caught:
        load_folder(repo)
    assert f"Where: {repo / 'features.py'}, line 7." in str(caught.value)


def test_a_reference_to_nowhere_is_told(repo: Path) -> None:
    write(repo, more="import skewless.definitions as sl\nx = sl.FeatureService('m', ['Spent:x'])")
    with pytest.raises(UnknownName, match=r"service 'm' uses, has no view 'Spent'.*'Spend'"):
        load_folder(repo)


# ------------------------------------------------------------------------------------- functions


def test_a_function_is_found_again_in_the_folder(repo: Path, tmp_path: Path) -> None:
    with SQLiteRegistry(tmp_path / "registry.db", folder=repo) as registry:
        applied(registry, load_folder(repo))
        loading._SEEN.clear()
        view: Any = registry.state().view("Twice")
        assert view.function(mean=21.0) == {"twice": 42.0}
        assert "features" not in sys.modules


def test_a_function_under_another_name_than_its_view_is_found(tmp_path: Path, repo: Path) -> None:
    write(
        repo,
        features="""
            import skewless.definitions as sl
            from entities import card, payments

            spend = sl.FeatureView(
                "Spend",
                entity=card,
                source=payments,
                features={"mean": payments.amount.mean("7d")},
            )

            def twice(mean):
                return {"twice": mean * 2}

            View = sl.on_demand(inputs={"mean": spend.mean}, returns={"twice": float})(twice)
        """,
    )
    with SQLiteRegistry(tmp_path / "registry.db", folder=repo) as registry:
        applied(registry, load_folder(repo))
        loading._SEEN.clear()
        view: Any = registry.state().view("twice")
        assert view.function(mean=21.0) == {"twice": 42.0}


def test_a_function_of_this_process_needs_no_folder(tmp_path: Path) -> None:
    from skewless.definitions import FeatureRef, on_demand
    from skewless.testing.shop import spend
    from skewless.types import Float64

    @on_demand(inputs={"mean": FeatureRef("Spend", "mean", Float64)}, returns={"half": float})
    def Half(mean: Any) -> Any:
        return {"half": mean / 2}

    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        applied(registry, spend(), Half)
        view: Any = registry.state().view("Half")
        assert view.function(mean=3.0) == {"half": 1.5}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace("mean * 2", "mean * 3"), "its text has changed"),
        (lambda text: text.replace("Twice", "Thrice"), "no function 'Twice'"),
        (lambda text: text + "\n    Twice = 3\n", "it is no function"),
        (lambda text: text + "\n    1 / 0\n", "ZeroDivisionError"),
        (lambda text: "1 +", "cannot be read"),
    ],
)
def test_a_function_that_is_not_the_same_says_so_when_used(
    repo: Path, tmp_path: Path, change: Any, why: str
) -> None:
    with SQLiteRegistry(tmp_path / "registry.db", folder=repo) as registry:
        applied(registry, load_folder(repo))
        loading._SEEN.clear()
        write(repo, features=change(FEATURES))
        view: Any = registry.state().view("Twice")
        assert view.features == ("twice",)
        with pytest.raises(DefinitionError, match=f"'Twice' cannot be used.*{why}"):
            view.function(mean=1.0)


def test_a_function_without_its_folder_says_so_when_used() -> None:
    code = {"path": "nowhere_at_all:Twice", "hash": "1234"}
    function = restored_function("Twice", code, None)
    with pytest.raises(DefinitionError, match=r"No module named 'nowhere_at_all'.*Apply the defin"):
        function(mean=1.0)


@pytest.mark.parametrize(
    "path", ["features:Twice", "other:f", "{folder}/evil:f", "..evil:f", "evil"]
)
def test_nothing_is_imported_because_a_registry_names_it(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """An import of a registry is no way to have a file of the machine run."""
    ran = tmp_path / "ran"
    evil = f"from pathlib import Path\nPath({str(ran)!r}).touch()\ndef f(mean): return mean\n"
    write(repo, features=FEATURES, other=evil)
    with (repo / "features.py").open("a") as file:
        file.write(evil)
    write(tmp_path, evil=evil)
    monkeypatch.syspath_prepend(tmp_path)
    for mark in ("1234", ""):
        code = {"path": path.format(folder=tmp_path), "hash": mark}
        with pytest.raises(DefinitionError, match="Twice cannot be used"):
            restored_function("Twice", code, repo)(mean=1.0)
    from skewless.definitions.on_demand import hash_of_text

    outside = {"path": "evil:f", "hash": hash_of_text("def f(mean): return mean\n")}
    with pytest.raises(DefinitionError, match="No module named 'evil' in the repo"):
        restored_function("Twice", outside, repo)(mean=1.0)
    assert not ran.exists()


def test_a_function_of_a_package_that_the_repo_imports_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write(tmp_path / "installed" / "bank_features", __init__="", shared=f"""
        {ENTITIES.strip()}

    @sl.feature_view(entity=card, source=payments)
    class Spend:
        mean = payments.amount.mean("7d")

    @sl.on_demand(inputs={{"mean": Spend.mean}}, returns={{"twice": float}})
    def Twice(mean):
        return {{"twice": mean * 2}}
        # says so
    """.replace("        import skewless", "    import skewless"))  # fmt: skip
    monkeypatch.syspath_prepend(package.parent)
    folder = write(tmp_path / "repo", features="from bank_features.shared import Spend, Twice")
    code = load_folder(folder).on_demand["Twice"].code
    for name in [name for name in sys.modules if name.startswith("bank_features")]:
        monkeypatch.delitem(sys.modules, name)
    loading._SEEN.clear()
    assert restored_function("Twice", code, folder)(3.0) == {"twice": 6.0}


def test_a_repo_is_the_same_after_it_was_applied(repo: Path, tmp_path: Path) -> None:
    from skewless.plan.apply.diff import diff

    with SQLiteRegistry(tmp_path / "registry.db", folder=repo) as registry:
        applied(registry, load_folder(repo), removing=True)
        plan = diff(registry.state(), Definitions.of(load_folder(repo)), removing=True)
        assert plan.is_empty


# ------------------------------------------------------------------------- folders that are packages


@pytest.mark.parametrize(
    "style",
    [
        "from feature_repo.{name} import",
        "from .{name} import",
        "from {name} import",
        "from outer.feature_repo.{name} import",
    ],
)
@pytest.mark.parametrize("renamed", ["a_first", "z_last"])
def test_files_of_a_package_import_one_another_by_any_name(
    tmp_path: Path, style: str, renamed: str
) -> None:
    """One module of each, whatever its name and whichever file comes first."""
    folder = tmp_path / "feature_repo"
    if style.startswith("from outer"):
        folder = tmp_path / "outer" / "feature_repo"
        write(folder.parent, __init__="")
    features = FEATURES.replace("from entities import", style.format(name=renamed))
    write(folder, __init__="", features=features, **{renamed: ENTITIES})
    before, path = set(sys.modules), list(sys.path)
    found = load_folder(folder)
    assert list(found.services) == ["model"]
    assert found.on_demand["Twice"].code["path"] == "features:Twice"
    assert (set(sys.modules), sys.path) == (before, path)
    code = found.on_demand["Twice"].code
    loading._SEEN.clear()
    assert restored_function("Twice", code, folder)(3.0) == {"twice": 6.0}


def test_an_error_in_a_file_of_a_package_is_told_with_its_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "feature_repo", __init__="", features="x = 1\ny = 1 / 0\n")
    with pytest.raises(DefinitionError, match=r"features\.py cannot be imported.*line 2"):
        load_folder(folder)
    assert "feature_repo.features" not in sys.modules
