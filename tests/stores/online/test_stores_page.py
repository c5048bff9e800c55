"""docs/stores.md is true: its table is that of the stores, its configurations are taken."""

import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest

from skewless.config import Config
from skewless.plugins import BUILT_IN, find

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
CONFIGURATIONS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def support_table(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.delitem(sys.modules, "support_table", raising=False)
    import support_table

    return support_table


def test_the_support_table_is_that_of_the_stores(support_table: object) -> None:
    assert support_table.written(PAGE) == PAGE, "run: python tools/support_table.py"


def test_the_support_table_names_every_store_and_those_without_a_server(
    support_table: object,
) -> None:
    rows = {
        line.split("`")[1]: line for line in support_table.table().splitlines() if "| `" in line
    }
    assert rows.keys() == BUILT_IN["online_store"].keys() - {"memory"}
    unverified = {kind for kind, line in rows.items() if "not verified against a server" in line}
    assert unverified == {"mongodb"}


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_of_the_page_is_one_that_the_store_takes(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "secret")
    config = Config.of(tmp_path, tomllib.loads(text))
    for section in (config.online, *config.stores.values()):
        taken = inspect.signature(find("online_store", section.kind)).parameters
        assert section.options.keys() <= taken.keys()
        assert "secret" not in repr(section)


def test_the_page_configures_every_store() -> None:
    shown = {tomllib.loads(text)["online"]["kind"] for text in CONFIGURATIONS}
    assert shown == BUILT_IN["online_store"].keys() - {"memory"}
