"""Acts are asked for once more, only by a form of this catalogue, and stand in the ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import skewless as sl
from skewless.access.actors import caller
from skewless.alerts.alerts import Runner
from skewless.alerts.receivers import Receiver
from skewless.testing.clock import SettableClock
from skewless.ui.app import make_app
from tests.alerts.sink import sink
from tests.ui.repo import HOUR, MINUTE, Document, filled


class Visit:
    """A browser that is shown the catalogue."""

    def __init__(self, fs: sl.FeatureStore, clock: SettableClock) -> None:
        self.fs, self.clock = fs, clock
        self.client = TestClient(make_app(fs), "http://localhost", follow_redirects=False)

    def form(self, act: str, **of: str) -> dict[str, str]:
        """The hidden fields of a form as a browser would send them."""
        page = Document(self.client.get(f"/acts/{act}", params=of).text)
        return {
            str(given["name"]): str(given.get("value") or "")
            for tag, given in page.elements
            if tag == "input" and given.get("name") not in (None, "q")
        }

    def send(self, act: str, fields: dict[str, str], **headers: str) -> int:
        return self.client.post(f"/acts/{act}", data=fields, headers=headers).status_code

    def home(self) -> dict:
        return self.client.get("/?format=json").json()

    def acts(self) -> list[tuple[str, str]]:
        return [(a["act"], a["of"]) for a in self.client.get("/acts?format=json").json()["acts"]]


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    (tmp_path / "repo").mkdir()
    fs, clock = filled(tmp_path / "repo")
    with fs:
        yield Visit(fs, clock)


def need(visit: Visit, kind: str) -> dict:
    return next(each for each in visit.home()["needs"] if each["kind"] == kind)


def test_who_acknowledges_is_seen_by_others_for_a_day(visit: Visit) -> None:
    wanted = need(visit, "quarantine")
    fields = visit.form("acknowledge", of=wanted["key"]) | {"note": "on it"}
    assert visit.send("acknowledge", fields) == 303
    seen = need(visit, "quarantine")
    assert seen["acknowledged"].startswith(caller())
    assert seen["note"] == "on it"
    assert visit.home()["needs"][-1]["kind"] == "quarantine"  # those that wait come first
    visit.clock.time += 25 * HOUR
    assert need(visit, "quarantine")["acknowledged"] == ""


def test_what_is_silenced_lies_apart_until_its_time_is_over(visit: Visit) -> None:
    fields = visit.form("silence", of="pays/quarantine")
    assert fields["lasts"] == "8h"
    assert visit.send("silence", fields) == 303
    home = visit.home()
    assert "quarantine" not in {each["kind"] for each in home["needs"]}
    assert [each["what"] for each in home["silenced"]] == ["pays"]
    assert {each["kind"] for each in home["needs"]} >= {"check"}  # another thing of the source
    visit.clock.time += 8 * HOUR + MINUTE
    assert need(visit, "quarantine")["what"] == "pays"


def test_what_is_silenced_in_the_catalogue_is_silent_for_alerts(visit: Visit) -> None:
    visit.clock.time += 5 * HOUR  # nothing was pushed: the promise is broken
    fields = visit.form("silence", of=need(visit, "stale")["key"])
    assert visit.send("silence", fields | {"note": "planned"}) == 303
    with sink() as hook:
        receiver = Receiver("hook", "webhook", hook.url)
        runner = Runner(visit.fs.runtime)
        runner.receivers = {"hook": receiver}
        runner.run()
        alert = next(each for each in visit.fs.alerts() if each.rule == "freshness")
        assert alert.silenced == visit.clock.time + 8 * HOUR
        assert "freshness" not in {message["rule"] for message in hook.taken}
        assert visit.send("silence", fields | {"lasts": "0s"}) == 303
        runner.run()
        assert "freshness" in {message["rule"] for message in hook.taken}


def test_what_alerts_know_is_seen_in_the_catalogue(visit: Visit) -> None:
    visit.clock.time += 5 * HOUR
    visit.fs.silence("*/check", "1h", who="ada", why="planned")
    (silent,) = (each for each in visit.home()["silenced"] if each["kind"] == "check")
    assert (silent["by"], silent["note"]) == ("ada", "planned")
    Runner(visit.fs.runtime).run()
    visit.fs.acknowledge("Spend@v1/freshness", who="bob", why="on it")
    visit.clock.time += 25 * HOUR  # as long as the alert is open
    seen = need(visit, "stale")
    assert (seen["by"], seen["note"]) == ("bob", "on it")
    assert visit.acts() == [("acknowledge", "Spend@v1/freshness"), ("silence", "*/check")]


def test_a_run_that_fails_again_is_no_longer_acknowledged(visit: Visit) -> None:
    def fail() -> None:
        visit.clock.time += MINUTE
        with pytest.raises(sl.SkewlessError):
            visit.fs.materialize("Nope")

    fail()
    visit.clock.time += MINUTE
    key = need(visit, "failed")["key"]
    assert visit.send("acknowledge", visit.form("acknowledge", of=key)) == 303
    assert need(visit, "failed")["acknowledged"]
    fail()
    assert not need(visit, "failed")["acknowledged"]


def test_a_feature_is_deprecated_with_a_reason_and_that_is_taken_back(visit: Visit) -> None:
    of = "Spend@v1:big"
    bare = visit.form("deprecate", of=of)
    assert visit.send("deprecate", bare) == 400  # a reason is wanted
    assert visit.send("deprecate", bare | {"note": "use total", "sunset": "soon"}) == 400
    assert visit.acts() == []
    assert visit.send("deprecate", bare | {"note": "use total", "sunset": "2027-01-01"}) == 303
    (notice,) = visit.fs.runtime.state(fresh=True).deprecations
    assert (notice.target, notice.reason, str(notice.sunset)) == (of, "use total", "2027-01-01")
    assert "No longer deprecate" in visit.client.get(f"/features/{of}").text
    assert visit.send("restore", visit.form("restore", of=of)) == 303
    assert visit.fs.runtime.state(fresh=True).deprecations == ()
    assert visit.acts() == [("restore", of), ("deprecate", of)]
    records = list(visit.fs.runtime.ledger.records(kinds=["act"]))
    assert {record.data["who"] for record in records} == {caller()}


def test_what_fails_is_told_in_its_form_and_keeps_what_was_written(visit: Visit) -> None:
    fields = visit.form("deprecate", of="Nope") | {"note": "no more"}
    answer = visit.client.post("/acts/deprecate", data=fields)
    assert answer.status_code == 400
    page = Document(answer.text)
    assert "Nope" in page.text
    assert "no more" in {given.get("value") for tag, given in page.elements if tag == "input"}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"content-type": "text/plain"},
        {"host": "evil.example"},
    ],
)
def test_a_form_of_another_site_is_refused(visit: Visit, headers: dict[str, str]) -> None:
    fields = visit.form("acknowledge", of="pays/quarantine")
    assert visit.send("acknowledge", fields, **headers) in (403, 421)
    assert visit.acts() == []


@pytest.mark.parametrize("token", ["", "wrong", "ü"])
def test_a_form_without_the_token_is_refused(visit: Visit, token: str) -> None:
    fields = visit.form("acknowledge", of="pays/quarantine") | {"token": token}
    assert visit.send("acknowledge", fields) == 403
    assert visit.acts() == []


def test_nothing_is_done_by_a_get_or_by_what_is_too_long(visit: Visit) -> None:
    fields = visit.form("silence", of="pays/quarantine")
    assert visit.client.get("/acts/silence", params=fields).status_code == 200
    assert visit.send("silence", fields | {"note": "x" * 501}) == 400
    assert visit.send("silence", fields | {"note": "x" * 30_000}) == 403
    assert visit.send("silence", fields | {"lasts": "400d"}) == 400
    assert visit.send("silence", fields | {"lasts": "soon"}) == 400
    assert visit.send("nothing", fields) == 404
    assert visit.acts() == []
