"""What is wrong is told once, its end too, and nothing is lost while a receiver is away."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.alerts.alerts import Runner, look_after
from skewless.alerts.receivers import Message, Receiver
from skewless.alerts.rules import Problem, problems
from skewless.errors import ConfigError, InputError, UnknownName
from skewless.testing.clock import SettableClock
from tests.alerts.sink import SLOW, Sink, sink
from tests.cli.running import data_of, ran, run_in
from tests.shop import CARD, HOUR, MINUTE, NOON, SECOND, open_store, pay, payments

STALE = Problem("freshness", "Spend@v1", "page", "Spend@v1 is stale", "risk")
LATE = Problem("freshness", "Spend@v1", "warn", "Spend@v1 is late", "risk")
KEY = "default/Spend@v1/freshness"


@pytest.fixture
def hook() -> Iterator[Sink]:
    with sink() as made:
        yield made


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOON)


def store(folder: Path, hook: Sink, clock: SettableClock, **more: Any) -> sl.FeatureStore:
    receiver = {"kind": "webhook", "url": hook.url}
    settings = {"allow": ["127.0.0.1"], "receivers": {"sink": receiver}, **more}
    pays = payments()
    spend = sl.FeatureView(
        "Spend", entity=CARD, source=pays, features={"total": pays.amount.sum("1h")},
        freshness=sl.Freshness(warn="10m", error="30m"), owner="risk",
    )  # fmt: skip
    return open_store(folder, spend, clock=clock, build=True, alerts=settings)


def told(hook: Sink) -> list[tuple[str, str, str]]:
    return [(each["action"], each["key"], each["level"]) for each in hook.taken]


def test_an_alert_is_told_once_and_so_is_its_end(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime)
        for _ in range(5):
            runner.run([STALE])
            clock.time += MINUTE
        assert told(hook) == [("trigger", KEY, "page")]
        runner.run([])
        clock.time += 9 * MINUTE
        assert runner.run([]).resolved == (KEY,)
        assert told(hook) == [("trigger", KEY, "page"), ("resolve", KEY, "page")]
        whats = [r.data["what"] for r in fs.runtime.ledger.records(kinds=["alert"])]
        assert whats == ["delivered", "opened", "resolved", "delivered"]


def test_a_thousand_flaps_are_one_page_and_one_end(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime)
        for flap in range(2_000):
            runner.run([] if flap % 2 else [STALE])
            clock.time += MINUTE // 2
        assert fs.alerts()[0].flaps == 999
        for _ in range(25):
            runner.run([])
            clock.time += MINUTE
        pages = [each for each in told(hook) if each[0] == "trigger"]
        minutes = 1_000
        assert 1 <= len(pages) <= minutes / 10
        assert told(hook)[-1][0] == "resolve"
        assert len(told(hook)) == len(pages) + 1


def test_what_becomes_worse_is_told_again_and_what_nobody_takes_too(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime)
        runner.run([LATE])
        runner.run([STALE])
        assert [level for _, _, level in told(hook)] == ["warn", "page"]
        clock.time += 4 * HOUR
        runner.run([STALE])
        assert len(hook.taken) == 3
        with pytest.raises(InputError, match="somebody"):
            fs.acknowledge("Spend@v1/freshness", who="")
        with pytest.raises(UnknownName, match="'Spend@v1/drift'"):
            fs.acknowledge("Spend@v1/drift", who="ada")
        fs.acknowledge("Spend@v1/freshness", who="ada")
        clock.time += 4 * HOUR
        runner.run([STALE])
        assert [action for action, _, _ in told(hook)][3:] == ["acknowledge"]
        assert fs.alerts()[0].who == "ada"


def test_a_silence_holds_back_until_it_is_over(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime)
        fs.silence("Spend", "1h", who="ada", why="planned")
        runner.run([STALE])
        assert not hook.taken
        assert fs.alerts()[0].told == 0
        clock.time += HOUR
        runner.run([STALE])
        assert told(hook) == [("trigger", KEY, "page")]
        fs.silence("*/freshness", "1h", who="ada")
        runner.run([Problem("freshness", "Other@v1", "page", "stale")])
        fs.silence("*/freshness", "0s", who="ada")
        runner.run([Problem("freshness", "Other@v1", "page", "stale")])
        assert len(hook.taken) == 2


@pytest.mark.parametrize("down", [500, 503, 429, SLOW])
def test_a_receiver_that_is_away_for_ten_minutes_misses_nothing(
    tmp_path: Path, hook: Sink, clock: SettableClock, down: int
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime, timeout=0.2)
        hook.down = down
        wanted = []
        for minute in range(10):
            found = [Problem("check", f"s{n}", "page", "fails") for n in range(minute + 1)]
            wanted.append(f"default/s{minute}/check")
            report = runner.run(found)
            clock.time += MINUTE
        assert report.waiting == 10
        hook.down = None
        for _ in range(10):
            report = runner.run(found)
            clock.time += MINUTE
        assert sorted(each["key"] for each in hook.taken) == sorted(wanted)
        assert (report.waiting, report.dead) == (0, 0)


def test_a_receiver_that_says_when_is_asked_then(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime)
        hook.answers.append((429, "120"))
        runner.run([STALE])
        clock.time += 119 * SECOND
        runner.run([STALE])
        assert hook.asked == 1
        clock.time += SECOND
        runner.run([STALE])
        assert told(hook) == [("trigger", KEY, "page")]


def test_what_is_refused_is_a_dead_letter_in_the_ledger(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        hook.answers.extend([400, 302])
        assert Runner(fs.runtime).run([STALE]).dead == 1
        letter = next(r.data for r in fs.runtime.ledger.records(kinds=["alert"]))
        assert (letter["what"], letter["why"], letter["key"]) == ("dead letter", "HTTP 400", KEY)


def test_a_receiver_that_never_comes_back_is_given_up_after_a_day(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime)
        hook.down = 500
        runner.run([STALE])
        clock.time += 25 * HOUR
        assert runner.run([STALE]).dead == 1


def test_the_end_waits_behind_the_beginning(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        runner = Runner(fs.runtime)
        hook.down = 500
        runner.run([STALE])
        clock.time += 10 * MINUTE
        runner.run([])
        hook.down = None
        clock.time += 10 * MINUTE
        runner.run([])
        assert [action for action, _, _ in told(hook)] == ["trigger", "resolve"]


def test_a_stale_view_is_told_by_tend_with_its_owner_and_resolved(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    with store(tmp_path, hook, clock) as fs:
        fs.push("pays", [pay("p1", NOON - MINUTE, card="secret-card")])
        assert fs.tend().parts[-1].said.startswith("0 open")
        clock.time = NOON + 15 * MINUTE
        fs.tend()
        clock.time = NOON + HOUR
        fs.tend()
        assert [(m["of"], m["level"], m["owner"]) for m in hook.taken] == [
            ("Spend@v1", "warn", "risk"), ("Spend@v1", "page", "risk"),
        ]  # fmt: skip
        assert "broken since 2026-01-02T12:29:00Z" in hook.taken[1]["text"]
        assert "secret-card" not in json.dumps(hook.taken)
        fs.push("pays", [pay("p2", NOON + HOUR - MINUTE)])
        fs.tend()
        clock.time += 10 * MINUTE
        fs.push("pays", [pay("p3", clock.time - MINUTE)])
        fs.tend()
        assert hook.taken[-1]["action"] == "resolve"


def test_checks_that_fail_and_jobs_that_fail_are_problems(
    tmp_path: Path, clock: SettableClock
) -> None:
    pays = payments(checks=[sl.Check.row_count(1, action="block")], owner="data")
    spend = sl.FeatureView("Spend", entity=CARD, source=pays, features={"n": pays.count("1h")})
    with open_store(tmp_path, spend, clock=clock) as fs:
        with pytest.raises(sl.CheckFailed):
            fs.materialize()
        fs.check()
        found = {(p.rule, p.of, p.level, p.owner) for p in problems(fs.runtime)}
        assert found == {("check", "pays", "page", "data"), ("job", "materialize", "warn", "")}


MESSAGE = Message(
    "trigger", KEY, "freshness", "Spend@v1", "page", "a < b & c", "risk", "shop", NOON
)


def test_each_kind_gets_the_body_it_takes() -> None:
    slack = Receiver("a", "slack", "").body(MESSAGE)
    assert slack["text"] == "PAGE: a &lt; b &amp; c"
    assert slack["blocks"][0]["text"] == {"type": "mrkdwn", "text": slack["text"]}
    event = Receiver("b", "pagerduty", "", key="k").body(MESSAGE)
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == (
        "k",
        "trigger",
        KEY,
    )
    assert event["payload"]["severity"] == "critical"
    assert set(event["payload"]) >= {"summary", "source", "severity"}
    over = Message(**{**vars(MESSAGE), "action": "resolve"})
    assert set(Receiver("b", "pagerduty", "", key="k").body(over)) == {
        "routing_key", "event_action", "dedup_key",
    }  # fmt: skip
    card = Receiver("c", "teams", "").body(MESSAGE)["attachments"][0]["content"]
    assert (card["type"], card["body"][0]["text"]) == ("AdaptiveCard", "PAGE: a < b & c")


def test_a_webhook_is_signed(hook: Sink) -> None:
    assert Receiver("a", "webhook", hook.url, secret="s").send(MESSAGE).ok
    body = json.dumps(hook.taken[0], ensure_ascii=False).encode()
    expected = hmac.new(b"s", body, hashlib.sha256).hexdigest()
    assert hook.headers[0]["X-Skewless-Signature"] == f"sha256={expected}"


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ({"kind": "smoke"}, "of no kind"),
        ({"kind": "webhook", "url": "https://evil.example.com/x"}, "not allowed"),
        ({"kind": "webhook", "url": "http://hooks.example.com/x"}, "not https"),
        ({"kind": "webhook", "url": "http://127.0.0.1:1/x"}, "not https"),
        ({"kind": "webhook", "url": "https://hooks.example.com@evil.example.com/"}, "not allowed"),
        ({"kind": "slack", "url": "https://hooks.slack.com/T/B/x"}, "secret"),
        ({"kind": "slack", "url": "${HOOK}", "level": ["page"]}, "'level'"),
        ({"kind": "pagerduty"}, "needs a key"),
        ({"kind": "webhook", "url": "https://hooks.example.com/", "levels": ["all"]}, "no level"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: dict[str, Any], said: str
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.slack.com/T/B/x")
    settings = {"allow": ["hooks.example.com"], "receivers": {"one": receiver}}
    with (
        open_store(tmp_path, alerts=settings) as fs,
        pytest.raises(ConfigError, match=said) as raised,
    ):
        Runner(fs.runtime)
    assert "T/B/x" not in str(raised.value)


def test_what_is_wrong_is_acknowledged_before_a_pass_opens_an_alert_of_it(
    tmp_path: Path, hook: Sink, clock: SettableClock
) -> None:
    stale, key = STALE, "Spend@v1/freshness"
    with store(tmp_path, hook, clock) as fs:
        with pytest.raises(UnknownName, match="no open alert"):
            fs.acknowledge("Spend@v1/drift", who="ada")
        assert (fs.alerts(), fs.acknowledge(key, who="ada").who) == ([], "ada")
        clock.time += MINUTE
        runner = Runner(fs.runtime)
        runner.run([stale])
        assert [alert.who for alert in fs.alerts()] == ["ada"]
        clock.time += HOUR
        runner.run([])
        assert fs.alerts() == []
        clock.time += MINUTE
        runner.run([stale])
        assert [alert.who for alert in fs.alerts()] == [""], "it was said of the alert before"
        clock.time += HOUR
        runner.run([])
        clock.time += MINUTE
        look_after(fs.runtime, key, who="bo")
        clock.time += 25 * HOUR
        runner.run([stale])
        assert [alert.who for alert in fs.alerts()] == [""], "it holds for a day"


def test_the_command_lists_acknowledges_and_silences(tmp_path: Path) -> None:
    ran(run_in(tmp_path, "init", "shop"))
    shop = tmp_path / "shop"
    ran(run_in(shop, "apply", "--yes"))
    ran(run_in(shop, "push", "payments", "data/payments.csv", "--backdate"))
    assert data_of(run_in(shop, "alert", "--json")) == []
    with sl.FeatureStore(shop) as fs:
        Runner(fs.runtime).run([STALE])
    (alert,) = data_of(run_in(shop, "alert", "--json"), 1)
    assert alert["key"] == "shop/Spend@v1/freshness"
    assert "Spend@v1/freshness" in run_in(shop, "alert").output
    ran(run_in(shop, "alert", "ack", "Spend@v1/freshness", "--who", "ada"))
    assert "ada" in ran(run_in(shop, "alert")).output
    ran(run_in(shop, "alert", "silence", "Spend*", "--for", "1h", "--who", "ada"))
    assert run_in(shop, "alert", "silence").exit_code == 2
    assert "silent until" in run_in(shop, "alert").output
    with sl.FeatureStore(shop) as fs:
        Runner(fs.runtime).run([STALE, Problem("freshness", "Spend@v2", "page", "stale")])
    found = data_of(run_in(shop, "alert", "--json"))  # both are silent: nobody is needed
    assert all(alert["silenced"] for alert in found)
    assert "No receiver" in run_in(shop, "alert", "test").output
