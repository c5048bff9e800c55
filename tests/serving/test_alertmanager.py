"""From a view that becomes stale to a receiver and back, over the real Prometheus and Alertmanager."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

import skewless as sl
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from skewless.testing.servers import free_port, program
from tests.alerts.sink import sink
from tests.serving.calling import call
from tests.shop import CARD, HOUR, MINUTE, NOON, open_store, pay, payments

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "skewless.rules.yml"
PATIENCE = 120.0
pytestmark = [pytest.mark.slow, pytest.mark.server("prometheus")]


@contextmanager
def scraped(app: App) -> Iterator[int]:
    """Give the metrics of an application out on a port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = call(app, "GET", "/metrics").body
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def process(log: Path, *words: str) -> Iterator[None]:
    with log.open("wb") as out:
        started = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        started.terminate()
        started.wait(timeout=PATIENCE)


def wait_for(what: Callable[[], Any], name: str, *logs: Path) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    ends = "\n".join(log.read_text(errors="replace")[-800:] for log in logs)
    raise AssertionError(f"{name} did not happen\n{ends}")


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def configure(folder: Path, hook: str, metrics: int, manager: str) -> None:
    """Write the files of both: as they ship, but for minutes, which are for people."""
    rules = re.sub(r"for: \d+[ms]", "for: 1s", RULES.read_text())
    (folder / "rules.yml").write_text(rules)
    route = {
        "receiver": "sink", "group_by": ["alertname", "view"], "group_wait": "0s",
        "group_interval": "1s",
    }  # fmt: skip
    receiver = {"name": "sink", "webhook_configs": [{"url": hook, "send_resolved": True}]}
    about = {"route": route, "receivers": [receiver]}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(about))
    scraped_ones = [{"targets": [f"127.0.0.1:{metrics}"]}]
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
        "scrape_configs": [{"job_name": "skewless", "static_configs": scraped_ones}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))


def test_a_stale_view_reaches_the_receiver_and_so_does_its_end(tmp_path: Path) -> None:
    prometheus = program("prometheus", install="on Debian: apt-get install prometheus")
    alertmanager = program(
        "prometheus-alertmanager", install="on Debian: apt-get install prometheus-alertmanager"
    )
    clock = SettableClock(NOON)
    pays = payments()
    spend = sl.FeatureView(
        "Spend", entity=CARD, source=pays, features={"n": pays.count("1h")}, freshness="30m"
    )
    with ExitStack() as ending:
        fs = ending.enter_context(open_store(tmp_path / "repo", spend, clock=clock, build=True))
        fs.push("pays", [pay("p1", NOON - MINUTE)])
        app = App(fs, Settings())
        app.start()
        hook = ending.enter_context(sink())
        ports = {name: free_port() for name in ("prometheus", "alertmanager")}
        logs = {name: tmp_path / f"{name}.log" for name in ports}
        port = ending.enter_context(scraped(app))
        manager = f"127.0.0.1:{ports['alertmanager']}"
        configure(tmp_path, hook.url, port, manager)
        ending.enter_context(
            process(
                logs["alertmanager"], alertmanager, f"--config.file={tmp_path}/alertmanager.yml",
                f"--storage.path={tmp_path}/am", f"--web.listen-address={manager}",
                "--cluster.listen-address=",
            )
        )  # fmt: skip
        wait_for(lambda: answers(f"http://{manager}/-/ready"), "Alertmanager", logs["alertmanager"])
        listen = f"127.0.0.1:{ports['prometheus']}"
        ending.enter_context(
            process(
                logs["prometheus"], prometheus, f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address={listen}",
            )
        )  # fmt: skip
        wait_for(lambda: answers(f"http://{listen}/-/ready"), "Prometheus", logs["prometheus"])

        def told(status: str) -> list[dict[str, str]]:
            return [
                each["labels"] for body in list(hook.taken) for each in body["alerts"]
                if each["status"] == status and each["labels"]["alertname"] == "SkewlessViewStale"
            ]  # fmt: skip

        app.upkeep.note_freshness()
        clock.time = NOON + HOUR
        app.upkeep.note_freshness()
        (labels, *_) = wait_for(lambda: told("firing"), "the alert", *logs.values())
        assert (labels["view"], labels["severity"]) == ("Spend", "ticket")
        assert not told("resolved")
        fs.push("pays", [pay("p2", NOON + HOUR - MINUTE)])
        app.upkeep.note_freshness()
        assert wait_for(lambda: told("resolved"), "its end", *logs.values())[0]["view"] == "Spend"
