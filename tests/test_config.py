from pathlib import Path

import pytest

from skewless.config import Config, Section
from skewless.durations import parse_duration
from skewless.errors import ConfigError


def written(folder: Path, text: str) -> Config:
    (folder / "skewless.toml").write_text(text, encoding="utf-8")
    return Config.read(folder)


def test_without_a_file_everything_is_embedded(tmp_path: Path) -> None:
    config = Config.read(tmp_path)
    assert config.project == "default"
    assert config.online == Section({"kind": "lmdb", "path": str(tmp_path / ".skewless/online")})
    assert dict(config.offline) == {"folder": str(tmp_path / ".skewless/offline")}
    assert dict(config.registry) == {
        "kind": "sqlite",
        "path": str(tmp_path / ".skewless/registry.db"),
    }
    assert (config.rewind, config.definitions, config.file) == (parse_duration("5m"), (), None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_says_where_things_are(tmp_path: Path) -> None:
    config = written(
        tmp_path,
        """
        project = "fab"
        rewind = "1h"
        definitions = ["features.py", "teams/*.py"]
        [online]
        kind = "redis"
        url = "redis://cache:6379/0"
        pool = {size = 4}
        [offline]
        folder = "history"
        [registry]
        kind = "sqlite"
        path = "/var/lib/registry.db"
        """,
    )
    assert (config.project, config.rewind) == ("fab", parse_duration("1h"))
    assert config.definitions == ("features.py", "teams/*.py")
    assert config.online.kind == "redis"
    assert config.online.options == {"url": "redis://cache:6379/0", "pool": {"size": 4}}
    assert config.offline["folder"] == str(tmp_path / "history")
    assert config.registry["path"] == "/var/lib/registry.db"
    assert config.file == tmp_path / "skewless.toml"


def test_the_file_itself_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "production.toml").write_text('project = "fab"')
    config = Config.read(tmp_path / "production.toml")
    assert (config.project, config.folder) == ("fab", tmp_path)


def test_a_relative_folder_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Config.read().folder == tmp_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('[online]\nkind = "sqlite"', ".skewless/online.sqlite"),
        ('[online]\nkind = "lmdb"\npath = "fast"', "fast"),
        ("[online]\nsync = false", ".skewless/online"),
    ],
)
def test_an_embedded_store_has_a_path(tmp_path: Path, text: str, path: str) -> None:
    assert written(tmp_path, text).online["path"] == str(tmp_path / path)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('[offline]\nfolder = "s3://key:hush@bucket/history"', "log = { kind"),
        ('[ledger]\nfolder = "gs://bucket/ledger"', "Copy sealed chains"),
        ('[registry]\nkind = "sqlite"\npath = "s3://bucket/registry.db"', 'kind = "postgres"'),
        ('[online]\nkind = "lmdb"\npath = "s3://bucket/online"', "for another kind"),
        ('[online]\nkind = "sqlite"\npath = "file:///tmp/online"', "for another kind"),
    ],
)
def test_an_address_where_a_path_of_this_machine_is_needed_is_refused(
    tmp_path: Path, text: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match="has to be a path of this machine") as raised:
        written(tmp_path, text)
    assert hint in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_mode_is_one_of_two(tmp_path: Path) -> None:
    assert not written(tmp_path, "").read_only
    assert not written(tmp_path, 'mode = "read-write"').read_only
    assert written(tmp_path, 'mode = "read-only"').read_only
    with pytest.raises(ConfigError, match=r'mode.*"read-write" or "read-only"'):
        written(tmp_path, 'mode = "readonly"')


def test_a_log_in_a_lakehouse_may_have_an_address(tmp_path: Path) -> None:
    config = written(tmp_path, '[offline]\nlog = { kind = "delta", path = "s3://lake/log" }')
    assert config.offline["log"]["path"] == "s3://lake/log"


def test_variables_of_the_environment_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE", "cache")
    monkeypatch.setenv("PORT", "6379")
    text = '[online]\nkind = "redis"\nurl = "redis://${CACHE}:${PORT}"\nnodes = ["${CACHE}"]'
    config = written(tmp_path, text)
    assert config.online.options == {"url": "redis://cache:6379", "nodes": ["cache"]}


def test_a_variable_may_be_a_file_that_holds_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As secrets of containers come: a password as it is, but for the line end of an editor."""
    file = tmp_path / "password"
    file.write_text("p@ss/w: \n")
    monkeypatch.setenv("HUSH_FILE", str(file))
    text = '[online]\nkind = "redis"\nurl = "redis://:${HUSH}@cache"'
    assert written(tmp_path, text).online.options == {"url": "redis://:p%40ss%2Fw%3A%20@cache"}
    monkeypatch.setenv("HUSH", "itself")
    assert written(tmp_path, text).online.options == {"url": "redis://:itself@cache"}
    monkeypatch.delenv("HUSH")
    file.unlink()
    with pytest.raises(ConfigError, match=r"HUSH_FILE names cannot be read(?s:.)*\[online\]"):
        written(tmp_path, text)


@pytest.mark.parametrize(
    "address",
    ["redis://:p@ss/w@cache:6379/0", "redis://ada:s/ecret@cache", "postgresql://ada:s#ecret@db/ml",
     "postgresql://ada:s?ecret@db/ml", "redis://ada:se:cret@cache", "mongodb://ada:p@ss@db/x"],
)  # fmt: skip
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_password_that_would_be_taken_for_a_host_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, by_variable: bool
) -> None:
    monkeypatch.setenv("WHOLE", address)
    given = "${WHOLE}" if by_variable else address
    with pytest.raises(ConfigError, match="characters that mean something") as caught:
        Config.of(tmp_path, {"online": {"kind": "redis", "url": given}})
    assert not any(part in str(caught.value) for part in ("ecret", "cret", "ss/w", "p@ss", "ada"))


@pytest.mark.parametrize(
    "address",
    ["redis://:p%40ss@cache:6379/0", "redis://cache:6379/0", "postgresql://[::1]:5432/db",
     "postgresql://db/ml?user=a@b", "s3://bucket/path@v1:x", "http://host:8080/a@b",
     "mongodb://ada:x@a:1,b:2/db?authSource=x@y", "postgresql://ada:x@[::1]:5432/db",
     "https://minio:9000", "redis://cache", "file:///tmp/a:b@c"],
)  # fmt: skip
def test_addresses_that_mean_one_thing_are_taken(tmp_path: Path, address: str) -> None:
    found = Config.of(tmp_path, {"online": {"kind": "redis", "url": address}})
    assert found.online["url"] == address


HARD = "p@ss/w:rd#1?x=%41&y z"
ENCODED = "p%40ss%2Fw%3Ard%231%3Fx%3D%2541%26y%20z"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("redis://app:${HARD}@cache:6379/0", f"redis://app:{ENCODED}@cache:6379/0"),
        (
            "redis+sentinel://:${HARD}@s1,s2:26379/m/0",
            f"redis+sentinel://:{ENCODED}@s1,s2:26379/m/0",
        ),
        ("postgresql://${HARD}:${HARD}@db/ml", f"postgresql://{ENCODED}:{ENCODED}@db/ml"),
        ("redis://${BOTH}@cache", "redis://app:hush@cache"),
        ("${HARD}", HARD),
        ("redis://cache:${PORT}/${PORT}@x", "redis://cache:6379/6379@x"),
    ],
)
def test_a_password_of_any_characters_stands_in_an_address_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, meant: str
) -> None:
    for name, value in {"HARD": HARD, "BOTH": "app:hush", "PORT": "6379"}.items():
        monkeypatch.setenv(name, value)
    config = written(tmp_path, f'[online]\nkind = "redis"\nurl = "{said}"')
    assert config.online.options["url"] == meant


def test_an_unset_variable_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match=r"NOT_SET is not set.*'url' in \[online\].*export NOT_"):
        written(tmp_path, '[online]\nkind = "redis"\nurl = "redis://${NOT_SET}"')


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('password = "hush"', "password='***'"),
        ('password = "${PASSWORD}"', "password='${PASSWORD}'"),
        ('url = "redis://:hush@cache:6379"', "url='redis://:***@cache:6379'"),
        ('url = "redis://ada:hush@cache"', "url='redis://ada:***@cache'"),
        ('url = "redis://ada:${PASSWORD}@cache"', "url='redis://ada:***@cache'"),
        ('dsn = "host=db password=hush user=ada"', "dsn='host=db password=*** user=ada'"),
        ('aws_secret_access_key = "hush"', "aws_secret_access_key='***'"),
        ('options = {api_key = "hush", size = 4}', "options={'api_key': '***', 'size': 4}"),
        ('tokens = ["hush"]', "tokens=['***']"),
    ],
)
def test_secrets_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, shown: str
) -> None:
    monkeypatch.setenv("PASSWORD", "hush")
    config = written(tmp_path, f'[online]\nkind = "redis"\n{line}')
    assert repr(config.online) == f"Section(kind='redis', {shown})"
    assert "hush" not in repr(config)
    assert "hush" not in str(config.to_dict())
    assert "hush" in str(config.online.options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('projekt = "fab"', r"no key 'projekt'.*Did you mean 'project'"),
        ("[onlin]", r"no key 'onlin'.*Did you mean 'online'"),
        ('[offline]\nfolders = "x"', r"\[offline\] of .* no key 'folders'.*Did you mean 'folder'"),
        ("project = 3", r"'project' has a wrong value.*3 \(int\)"),
        ('project = ""', "'project' has a wrong value"),
        (f'project = "{"x" * 61}"', "at most 60 letters and digits"),
        ('definitions = "features.py"', "a list of file names"),
        ('online = "redis"', r"a section: \[online\]"),
        ("[online]\nkind = 3", "a name in quotes"),
        ("[online]\npath = 3", "a path in quotes"),
        ('rewind = "soon"', "'rewind' is no duration"),
        ("rewind = 300", "'rewind' is no duration"),
        ("project = ?", r"not TOML.*line 1"),
    ],
)
def test_a_wrong_file_is_told_with_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        written(tmp_path, text)
    assert str(tmp_path / "skewless.toml") in str(caught.value)


def test_a_file_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "skewless.toml").write_bytes(b'project = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        Config.read(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no such repo.*skewless init"):
        Config.read(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="there is no such repo"):
        Config.read(tmp_path / "file")
