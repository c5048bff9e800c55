"""docs/offline-stores.md is true: its table is that of the readers, its settings are taken."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import skewless
from skewless.config import Config
from skewless.definitions.tables import Table
from skewless.plugins import BUILT_IN
from skewless.stores.offline.log.lake import OPTIONS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "offline-stores.md").read_text(encoding="utf-8")
CONFIGURATIONS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_support_table_is_that_of_the_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.delitem(sys.modules, "support_table", raising=False)
    import support_table

    made = support_table.table_of_tables
    assert support_table.written(PAGE, made) == PAGE, "run: python tools/support_table.py"
    rows = [line for line in made().splitlines() if line.startswith("| `sl.")]
    unverified = {line.split("`")[1] for line in rows if "not verified against a server" in line}
    assert unverified == {"sl.Redshift"}


def test_every_kind_of_table_is_public() -> None:
    public = {
        made.kind
        for name in skewless.__all__
        if isinstance(made := getattr(skewless, name), type) and issubclass(made, Table)
    }
    assert public == BUILT_IN["table"].keys()


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_of_the_page_is_taken(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "hush-hush")
    config = Config.of(tmp_path, tomllib.loads(text))
    for name in config.tables.connections:
        assert config.tables.connection(name)
    if "s3" in config.tables.filesystem:
        assert config.tables.of_filesystem("s3")["secret_key"] == "hush-hush"
    log = config.offline.get("log", {"kind": "delta", "path": ""})
    assert log.keys() - {"kind"} <= set(OPTIONS[log["kind"]])
    assert "hush-hush" not in str(config.to_dict())
    assert "hush-hush" not in repr(config)
