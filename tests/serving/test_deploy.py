"""The files of deploy/ fit the server: names of metrics, labels, addresses and options exist."""

import contextlib
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import yaml

from skewless.cli.main import main
from skewless.config import Config
from skewless.serving import workers
from skewless.serving.app import App
from skewless.serving.operate.metrics import Counter, Histogram, Metric, Metrics
from skewless.stores.online.redis.store import RedisStore
from skewless.testing.servers import free_port, program
from tests.serving.calling import call, serving, wait_for
from tests.serving.test_observability import samples
from tests.serving.test_tls import certify

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "skewless.rules.yml"
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana").glob("*.json"))
}
BASE = "python:3.12-slim"
OF_PROMETHEUS = {"up": {"job", "instance"}}
FUNCTIONS = {
    "sum", "min", "max", "rate", "increase", "histogram_quantile", "vector", "time", "count",
    "by", "or",
}  # fmt: skip


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    every = [panel for board in DASHBOARDS.values() for panel in board["panels"]]
    return [panel for panel in every if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where each expression stands, and the expression."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def series() -> dict[str, set[str]]:
    """Labels by name of everything that can be asked of Prometheus."""
    found = dict(OF_PROMETHEUS)
    for metric in Metrics().all:
        labels = {*metric.labels, "job", "instance"}
        if isinstance(metric, Histogram):
            found |= {f"{metric.name}_bucket": labels | {"le"}}
            found |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
        else:
            found[metric.name] = labels
    return found


def used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The series of an expression, each with the labels it is chosen by."""
    bare = re.sub(r"\b(?:by|without) \([^)]*\)|\[[^]]*\]", "", expression)
    for name, matchers in re.findall(r"([a-z_]+)(?:\{([^}]*)\})?", re.sub(r'"[^"]*"', '""', bare)):
        if name not in FUNCTIONS:
            yield name, set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers))


def grouped(expression: str) -> set[str]:
    lists = re.findall(r"\bby \(([^)]*)\)", expression)
    return {label.strip() for labels in lists for label in labels.split(",")}


@pytest.mark.parametrize(("where", "expression"), list(queries()), ids=lambda text: text[:40])
def test_a_query_names_metrics_and_labels_that_there_are(where: str, expression: str) -> None:
    known = series()
    names = [name for name, _ in used(expression)]
    assert names, where
    for name, labels in used(expression):
        assert name in known, where
        assert labels <= known[name], where
    assert grouped(expression) <= set.union(*(known[name] for name in names)), where


def test_texts_of_alerts_and_legends_use_labels_that_are_left() -> None:
    texts = [(rule["expr"], rule["annotations"]["summary"]) for rule in alerts()]
    texts += [(t["expr"], t["legendFormat"]) for panel in panels() for t in panel["targets"]]
    known = series()
    for expression, text in texts:
        left = grouped(expression) or set.union(*(known[name] for name, _ in used(expression)))
        asked = re.findall(r"\$labels\.(\w+)|\{\{(\w+)\}\}", text)
        assert {a or b for a, b in asked} <= left, text


def test_names_are_as_prometheus_wants_them() -> None:
    for metric in Metrics().all:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        if isinstance(metric, Histogram):
            assert metric.name.endswith("_seconds")
        assert not re.search(r"_(ms|micros|minutes|kb|mb)\b", metric.name)


def test_every_metric_is_drawn_and_every_kind_of_failure_alerts() -> None:
    drawn = {name for panel in panels() for t in panel["targets"] for name, _ in used(t["expr"])}
    missing = [m.name for m in Metrics().all if not any(d.startswith(m.name) for d in drawn)]
    assert missing == []
    failures = {"skewless_store_up", "skewless_view_fresh", "skewless_requests_shed_total"}
    assert failures <= {name for rule in alerts() for name, _ in used(rule["expr"])}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_one_that_grafana_can_lay_out(name: str) -> None:
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    sources = yaml.safe_load((DEPLOY / "grafana" / "datasource.yaml").read_text())["datasources"]
    uids = {panel["datasource"]["uid"] for panel in panels()}
    assert uids == {source["uid"] for source in sources}


# ------------------------------------------------------------------------------------ promtool


@pytest.fixture(scope="module")
def promtool() -> str:
    return program("promtool", install="on Debian: apt-get install prometheus")


def checked(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_and_the_configuration(promtool: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus"))
    checked(promtool, "check", "rules", str(folder / "skewless.rules.yml"))
    config, key = folder / "prometheus.yml", tmp_path / "key"
    key.write_text("sk_key")
    config.write_text(config.read_text().replace("/run/secrets/prometheus_key", str(key)))
    assert str(key) in config.read_text(), "the key is a file"
    checked(promtool, "check", "config", str(config))


def test_promtool_takes_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    values = {"$job": "skewless", "$instance": ".*", "$__rate_interval": "1m"}
    rules = []
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in values.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression
            record = f"panel:{len(rules)}:{target['refId']}"
            rules.append({"record": record, "expr": expression})
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked(promtool, "check", "rules", str(file))


def test_promtool_finds_nothing_wrong_with_the_metrics(promtool: str, app: App) -> None:
    call(app, "POST", "/v1/features", {"service": "fraud", "entities": [{"card_id": "c1"}]})
    call(app, "POST", "/v1/push", {"source": "payments", "rows": [{"card_id": "c1"}]})
    app.upkeep.note_freshness()
    checked(promtool, "check", "metrics", text=call(app, "GET", "/metrics").body.decode())


class Alarm(NamedTuple):
    """What makes an alert fire for half an hour, and what is near it and must not."""

    failing: dict[str, str]
    calm: dict[str, str]


SPENT = 'skewless_http_request_duration_seconds_bucket{route="/v1/features", '
ASKED = 'skewless_http_requests_total{instance="a", status='
SERVED = 'skewless_values_total{instance="a", status='
PUSHED = 'skewless_push_rows_total{source="payments", outcome='
JOBS = 'skewless_jobs_total{kind="backfill", outcome='
LOGGED = "skewless_served_log_entities_total{outcome="
FAILS = 'skewless_check_failing{of="pays", point="history", check='
DRIFTS = 'skewless_view_drifting{view="Spend@v1", level='
GROWS, STANDS = "0+60x30 1800x60", "7x90"
ALARMS = {
    "SkewlessDown": Alarm(
        {'up{job="skewless", instance="a"}': "0x30 1x60"}, {'up{job="other", instance="a"}': "0x90"}
    ),
    "SkewlessStoreDown": Alarm(
        {'skewless_store_up{instance="a"}': "0x30 1x60"},
        {'skewless_store_up{instance="a"}': "1x90"},
    ),
    "SkewlessErrors": Alarm(
        {ASKED + '"503"}': GROWS, ASKED + '"200"}': "0+900x90"},
        {ASKED + '"503"}': "0+9x90", ASKED + '"404"}': "0+999x90"},
    ),
    "SkewlessShedding": Alarm(
        {'skewless_requests_shed_total{instance="a", reason="lag"}': GROWS},
        {'skewless_requests_shed_total{instance="a", reason="lag"}': STANDS},
    ),
    "SkewlessViewStale": Alarm(
        {'skewless_view_fresh{instance="a", view="Spend"}': "0x30 1x60"},
        {'skewless_view_fresh{instance="a", view="Spend"}': "0x3 1x87"},
    ),
    "SkewlessViewLate": Alarm(
        {'skewless_view_late{instance="a", view="Spend"}': "1x30 0x60"},
        {'skewless_view_late{instance="a", view="Spend"}': "0x90"},
    ),
    "SkewlessCheckFailing": Alarm(
        {FAILS + '"between"}': "1x30 _x60", FAILS + '"not null"}': "1x30 _x60"},
        {'skewless_view_fresh{view="Spend"}': "0x90"},
    ),
    "SkewlessDrift": Alarm({DRIFTS + '"warn"}': "2x30 _x60"}, {DRIFTS + '"warn"}': "0x90"}),
    "SkewlessDriftPage": Alarm({DRIFTS + '"page"}': "1x30 _x60"}, {DRIFTS + '"warn"}': "2x90"}),
    "SkewlessSkew": Alarm({"skewless_skew_found": "1x30 0x60"}, {"skewless_skew_found": "0x90"}),
    "SkewlessUnknownEntities": Alarm(
        {SERVED + '"unknown"}': GROWS, SERVED + '"present"}': "0+30x90"},
        {SERVED + '"unknown"}': "0+4x90", SERVED + '"present"}': "0+5x90"},
    ),
    "SkewlessQuarantine": Alarm(
        {PUSHED + '"quarantined"}': GROWS, PUSHED + '"accepted"}': "0+900x90"},
        {PUSHED + '"quarantined"}': "0+9x90", PUSHED + '"accepted"}': "0+999x90"},
    ),
    "SkewlessRegistryUnreadable": Alarm(
        {"skewless_registry_refresh_failures_total": GROWS},
        {"skewless_registry_refresh_failures_total": "0x30 3x60"},
    ),
    "SkewlessJobFailed": Alarm(
        {JOBS + '"failed"}': "0x20 1x70"}, {JOBS + '"done"}': "0+1x90", JOBS + '"failed"}': STANDS}
    ),
    "SkewlessServedLogDropping": Alarm(
        {LOGGED + '"dropped"}': GROWS},
        {LOGGED + '"dropped"}': STANDS, LOGGED + '"written"}': GROWS},
    ),
    "SkewlessSlow": Alarm(  # slower than a second; only large ones are
        {SPENT + 'size="small", le="+Inf"}': GROWS, SPENT + 'size="small", le="1"}': "0x90"},
        {SPENT + 'size="large", le="+Inf"}': GROWS, SPENT + 'size="large", le="1"}': "0x90"},
    ),
}


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {rule["alert"] for rule in alerts()} == set(ALARMS)


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alert_fires_stays_silent_and_resolves(promtool: str, name: str, tmp_path: Path) -> None:
    (rule,) = [rule for rule in alerts() if rule["alert"] == name]
    firing, waiting = (f'ALERTS{{alertname="{name}", alertstate="{state}"}}'
                       for state in ("firing", "pending"))  # fmt: skip

    def case(series: dict[str, str], expected: dict[str, list[str]]) -> dict[str, Any]:
        return {
            "interval": "1m",
            "input_series": [{"series": s, "values": values} for s, values in series.items()],
            "promql_expr_test": [
                {"expr": f"count({expression})", "eval_time": at,
                 "exp_samples": [{"labels": "{}", "value": 1}]}
                if at in expected.get(expression, ()) else
                {"expr": f"count({expression})", "eval_time": at, "exp_samples": []}
                for expression in (firing, waiting) for at in ("2m", "22m", "28m", "80m")
            ],
        }  # fmt: skip

    failing, calm = ALARMS[name]
    found: dict[str, list[str]] = {firing: ["22m", "28m"]}
    patience = rule.get("for", "0s")
    if name in ("SkewlessDown", "SkewlessStoreDown"):
        found = {firing: ["2m", "22m", "28m"]}
    elif name != "SkewlessJobFailed":
        assert int(patience.removesuffix("m")) >= 5, "one bad minute wakes nobody"
        found[waiting] = ["2m"]
    tests = [case(failing, found)]
    if name != "SkewlessViewStale":
        tests.append(case(calm, {}))
    else:
        tests.append(case(calm, {waiting: ["2m"]}))
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(content))
    checked(promtool, "test", "rules", str(tmp_path / "cases.yml"))


def test_a_first_failure_is_seen_because_counters_begin_at_nought(app: App) -> None:
    """A counter that appears with 1 has not increased, as Prometheus sees it."""
    found = samples(call(app, "GET", "/metrics").body)
    for kind in ("materialize", "backfill"):
        assert found[f'skewless_jobs_total{{kind="{kind}",outcome="failed"}}'] == 0
    for reason in ("large", "requests", "lag"):
        assert found[f'skewless_requests_shed_total{{reason="{reason}"}}'] == 0


# ------------------------------------------------------------------- Dockerfile, compose, systemd


def parsed(words: list[str]) -> click.Context:
    """What the command line makes of words; an error for one it does not know."""
    with click.Context(main) as context:
        found = main.get_command(context, words[0])
        assert found is not None, words
        return found.make_context(words[0], list(words[1:]))


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def instruction(name: str) -> str:
    """The last one of a name: the one that counts."""
    return next(rest for found, rest in reversed(instructions()) if found == name)


def test_the_image_runs_the_server_and_not_as_root() -> None:
    assert instruction("USER").partition(":")[0] not in ("", "0", "root")
    command, *words = json.loads(instruction("ENTRYPOINT"))
    assert command == "skewless"
    context = parsed([*words, *json.loads(instruction("CMD"))])
    assert (context.params["host"], context.params["port"]) == ("0.0.0.0", 6566)
    assert instruction("EXPOSE") == "6566"
    assert instruction("STOPSIGNAL") == "SIGTERM"


def test_the_image_is_built_of_what_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (installed,) = re.findall(r"'\.\[([\w,]+)\]'", (DEPLOY / "Dockerfile").read_text())
    assert set(installed.split(",")) <= set(project["optional-dependencies"])
    (locked,) = re.findall(
        r"\t.*--generate-hashes[^#]*?requirements.txt", (ROOT / "Makefile").read_text()
    )
    assert re.findall(r"--extra (\w+)", locked) == installed.split(",")
    names = re.findall(r"^([\w-]+)==", (DEPLOY / "requirements.txt").read_text(), re.MULTILINE)
    assert {"uvicorn", "joserfc", "redis", "psycopg", "deltalake"} <= set(names)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    files = [file for words in copied if not words[0].startswith("--from") for file in words]
    assert {"deploy/requirements.txt", "deploy/healthcheck.py", "src"} <= set(files)
    for file in files:
        assert (ROOT / file).exists()
        assert f"!{file}" in ignored


def test_both_stages_of_the_image_start_from_a_base_that_can_be_named() -> None:
    assert instructions()[0] == ("ARG", f"BASE={BASE}")
    assert [rest.split()[0] for name, rest in instructions() if name == "FROM"] == ["${BASE}"] * 2
    *_, locked = re.findall(r"--python-version (\S+)", (ROOT / "Makefile").read_text())
    assert BASE.startswith(f"python:{locked}-"), "of the Python that requirements.txt is for"


def test_the_health_check_of_the_image_tells_a_server_that_is_ready(
    repo: Path, tmp_path: Path
) -> None:
    """One that speaks TLS too, by a certificate that is not for the loopback."""
    _, code = instruction("HEALTHCHECK").split("CMD", 1)
    python, there, listening = json.loads(code)
    assert (python, listening) == ("python", "127.0.0.1:6566")
    assert f"COPY deploy/healthcheck.py {there}" in (DEPLOY / "Dockerfile").read_text()

    def healthy(address: str) -> bool:
        words = [sys.executable, str(DEPLOY / "healthcheck.py"), address]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode == 0

    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certify(certificate, key, name="DNS:features.example")
    for options in ([], ["--tls-cert", str(certificate), "--tls-key", str(key)]):
        with serving(repo, tmp_path, *options) as server:
            address = server.url.rpartition("/")[2]
            assert server.url.startswith("https:") == bool(options)
            assert healthy(address)
        assert not healthy(address)


class NotReady(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        pass


def test_the_health_check_of_the_image_tells_a_server_that_lives_and_is_not_ready() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), NotReady) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = [str(DEPLOY / "healthcheck.py"), f"127.0.0.1:{server.server_port}"]
        assert subprocess.run([sys.executable, *words], check=False).returncode == 1
        server.shutdown()


COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_compose_starts_the_server_with_options_and_files_that_there_are() -> None:
    services = COMPOSE["services"]
    _, *words = json.loads(instruction("ENTRYPOINT"))
    context = parsed([*words, *services["skewless"]["command"]])
    assert (context.params["workers"], context.params["anonymous"]) == (2, False)
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (DEPLOY / volume.split(":")[0]).exists(), volume
            elif "$" not in volume:
                assert volume.split(":")[0] in COMPOSE["volumes"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "open on this machine only"
    assert (DEPLOY / services["skewless"]["build"]["context"] / "pyproject.toml").exists()
    paths = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    providers = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yaml").read_text())["providers"]
    shown = [path for path in paths if path.startswith(providers[0]["options"]["path"])]
    assert {Path(path).stem for path in shown} == set(DASHBOARDS)


def test_compose_gives_every_service_limits_and_no_more_rights_than_it_needs() -> None:
    for name, service in COMPOSE["services"].items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_secrets_in_compose_are_files_and_no_dashboard_is_open_to_all() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY", variable):
                assert variable.endswith("_FILE"), (name, variable)
                secret = value.removeprefix("/run/secrets/")
                assert secret in service["secrets"], (name, variable)
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert services["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert "ports" not in services["prometheus"], "it asks nobody for a password"
    used = {s for service in services.values() for s in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])


def listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_redis_in_compose_is_durable_and_keeps_its_password_to_itself(tmp_path: Path) -> None:
    """The command as it is written, with folders of the test's own and a free port."""
    redis = program("redis-server", install="on Debian: apt-get install redis-server")
    shell, flags, script = COMPOSE["services"]["redis"]["command"]
    (tmp_path / "redis_password").write_text("hush0123\n")
    port = free_port()
    for there, here in (("$$", "$"), ("/run/secrets", str(tmp_path)), ("/data", str(tmp_path)),
                        ("/tmp/redis.conf", str(tmp_path / "redis.conf")),
                        ("redis-server ", f"{redis} ")):  # fmt: skip
        assert there in script
        script = script.replace(there, here)
    script = f"{script.rstrip()} --port {port} --bind 127.0.0.1"
    with subprocess.Popen([shell, flags, script], stdout=subprocess.DEVNULL) as server:
        try:
            store = RedisStore(f"redis://:hush0123@127.0.0.1:{port}/0")
            wait_for(lambda: listening(port), "Redis")
            assert store.capabilities.durable
            assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
            words = Path(f"/proc/{server.pid}/cmdline").read_bytes()
            assert b"redis-server" in words
            assert b"hush" not in words
            store.close()
        finally:
            server.terminate()


def test_the_configuration_in_compose_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis_password").write_text("se/cret\n")
    environment = COMPOSE["services"]["skewless"]["environment"]
    file = environment["REDIS_PASSWORD_FILE"].replace("/run/secrets", str(tmp_path))
    monkeypatch.setenv("REDIS_PASSWORD_FILE", file)
    text = (DEPLOY / "compose.yaml").read_text()
    shown = re.findall(r"^#   (\[online\]|\w+ = .*)$", text, flags=re.MULTILINE)
    (tmp_path / "skewless.toml").write_text("\n".join(shown))
    config = Config.read(tmp_path)
    assert config.online.kind == "redis"
    assert config.online.options["url"] == "redis://:se%2Fcret@redis:6379/0"


def test_the_unit_of_systemd_starts_the_server() -> None:
    text = (DEPLOY / "skewless.service").read_text()
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    found = dict(line.split("=", 1) for line in lines)
    command, *words = shlex.split(found["ExecStart"])
    assert Path(command).name == "skewless"
    context = parsed(words)
    assert context.params["workers"] == 2
    assert (found["Type"], found["NotifyAccess"]) == ("notify", "main")
    assert float(found["WatchdogSec"].rstrip("s")) > workers.HUNG, "its own processes are its own"
    assert float(found["TimeoutStartSec"].rstrip("s")) > workers.STARTING
    assert float(found["TimeoutStopSec"].rstrip("s")) > context.params["drain"] + 5
    assert found["KillMode"] == "mixed", "the server ends its own processes, in order"


@pytest.fixture
def systemd(tmp_path: Path) -> tuple[str, str]:
    """The program that looks at units, and the unit, with a program that is there."""
    install = "on Debian: apt-get install systemd"
    analyze = program("systemd-analyze", install=install, required=False)
    text = (DEPLOY / "skewless.service").read_text()
    file = tmp_path / "skewless.service"
    file.write_text(text.replace("/opt/skewless/venv/bin/skewless", sys.executable))
    return analyze, str(file)


def test_systemd_takes_the_unit(systemd: tuple[str, str]) -> None:
    analyze, file = systemd
    done = subprocess.run([analyze, "verify", file], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "skewless.service" in line]
    assert complaints == []


def test_systemd_calls_the_unit_locked_down(systemd: tuple[str, str]) -> None:
    analyze, file = systemd
    words = [analyze, "security", "--offline=true", "--threshold=30", file]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for skewless.service: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert done.returncode == 0
    assert float(found[1]) < 3


def test_metrics_are_of_known_kinds() -> None:
    assert {type(metric).__mro__[-2] for metric in Metrics().all} == {Metric}
    assert any(isinstance(metric, Counter) for metric in Metrics().all)
