"""Tokens of an OpenID Connect issuer: whose they are, and which do not count."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

import skewless as sl
from skewless.clock import SECOND
from skewless.config import Config, Section
from skewless.errors import ConfigError
from skewless.serving.app import App
from skewless.serving.operate import issuer as issuers
from skewless.serving.operate import keys
from skewless.serving.operate.issuer import Issuer, OidcSettings
from skewless.serving.operate.tokens import Tokens
from skewless.serving.server import check_access
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import Answer, call
from tests.serving.conftest import NOW
from tests.serving.issuer import EC, STRANGER, LocalIssuer, local_issuer
from tests.serving.test_keys import MATERIALIZE, PUSH, READ

GROUPS = {"read": ["fraud-team"], "write": ["pipelines"], "admin": ["platform"]}


class Ticks:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as found:
        yield found


@pytest.fixture
def store(repo: Path, clock: SettableClock, issuer: LocalIssuer) -> Iterator[sl.FeatureStore]:
    """The shop, with an issuer in its settings."""
    section = Section({"issuer": issuer.url, "audience": "skewless", **GROUPS})
    with sl.FeatureStore(replace(Config.read(repo), oidc=section), clock=clock) as fs:
        yield fs


@pytest.fixture
def ticks(app: App) -> Ticks:
    """Of the application's issuer, which was asked for its keys at 1000 s."""
    made = Ticks()
    assert app.upkeep.tokens is not None
    section = app.store.config.oidc
    assert section is not None
    settings = OidcSettings.of(section, "the test")
    app.upkeep.tokens = Tokens(settings, app.store.runtime.clock.now, Issuer(settings, made))
    app.upkeep.ask_issuer()
    return made


def sent(app: App, token: str, request: tuple = READ) -> Answer:
    method, path, body = request
    return call(app, method, path, body, headers={"authorization": f"Bearer {token}"})


def test_a_token_of_the_issuer_opens_what_its_group_may(app: App, issuer: LocalIssuer) -> None:
    for group, statuses in (
        ("fraud-team", [200, 403, 403]), ("pipelines", [200, 200, 403]), ("platform", [200, 200, 202])
    ):  # fmt: skip
        token = issuer.token(NOW, groups=["others", group])
        assert [sent(app, token, r).status for r in (READ, PUSH, MATERIALIZE)] == statuses
        app.writer.jobs.wait(60)


def test_the_record_says_whose_token_it_was(app: App, issuer: LocalIssuer) -> None:
    token = issuer.token(NOW, sub="auth0|ada lovelace", groups=["platform"])
    assert sent(app, token, MATERIALIZE).data["who"] == "user:auth0|ada%20lovelace"
    app.writer.jobs.wait(60)
    token = issuer.token(NOW, sub="nightly", client_id="nightly", groups=["platform"])
    assert sent(app, token, MATERIALIZE).data["who"] == "service:nightly"
    app.writer.jobs.wait(60)


def test_a_token_by_another_kind_of_key_counts_too(app: App, issuer: LocalIssuer) -> None:
    assert sent(app, issuer.token(NOW, key=EC, alg="ES256")).status == 200
    assert sent(app, issuer.token(NOW, alg="PS256")).status == 200


def unsigned(token: str) -> str:
    """The claims of a token under the algorithm that signs nothing."""
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"rsa"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def by_secret(issuer: LocalIssuer) -> str:
    """A token that takes the public key for a shared secret."""
    public = issuer.keys[0].as_pem(private=False)
    secret = jwk.OctKey.import_key(base64.b64encode(public).decode(), {"kid": "rsa"})
    return issuer.token(NOW, key=secret, alg="HS256")


def altered(token: str) -> str:
    """A token with other claims under its signature."""
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["groups"] = ["platform"]
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{body}.{signature}"


FORGED: dict[str, Any] = {
    "by another key": lambda issuer: issuer.token(NOW, key=STRANGER),
    "by a key it brings along": lambda issuer: issuer.token(
        NOW, key=STRANGER, header={"jwk": STRANGER.as_dict(private=False)}
    ),
    "by a key elsewhere": lambda issuer: issuer.token(
        NOW, key=STRANGER, header={"jku": "http://127.0.0.1:1/keys"}
    ),
    "by no key": lambda issuer: unsigned(issuer.token(NOW)),
    "by the public key": by_secret,
    "with claims altered": lambda issuer: altered(issuer.token(NOW)),
    "of no key id": lambda issuer: issuer.token(NOW, header={"kid": None}),
    "for somebody else": lambda issuer: issuer.token(NOW, aud="billing"),
    "for nobody": lambda issuer: issuer.token(NOW, aud=None),
    "of another issuer": lambda issuer: issuer.token(NOW, iss="https://login.example.com"),
    "without end": lambda issuer: issuer.token(NOW, exp=None),
    "ending in words": lambda issuer: issuer.token(NOW, exp="tomorrow"),
    "ending at no number": lambda issuer: issuer.token(NOW, exp=float("nan")),
    "ending never": lambda issuer: issuer.token(NOW, exp=float("inf")),
    "ending at true": lambda issuer: issuer.token(NOW, exp=True),
    "beginning in words": lambda issuer: issuer.token(NOW, nbf="today"),
    "of a list of issuers": lambda issuer: issuer.token(NOW, iss=[issuer.url]),
    "for an object": lambda issuer: issuer.token(NOW, aud={"skewless": True}),
    "of nobody": lambda issuer: issuer.token(NOW, sub=None),
    "of a subject that is no text": lambda issuer: issuer.token(NOW, sub=7),
    "of a subject without end": lambda issuer: issuer.token(NOW, sub="a" * 500),
    "much too long": lambda issuer: issuer.token(NOW, more="x" * 20_000),
    "of nonsense": lambda _: "a.b.c",
    "of nothing": lambda _: "..",
}  # fmt: skip


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_token_does_not_count(app: App, issuer: LocalIssuer, kind: str) -> None:
    answer = sent(app, FORGED[kind](issuer))
    assert (answer.status, answer.data["error"]) == (401, "AccessDenied")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_token_counts_while_it_lasts_and_for_the_leeway(
    app: App, issuer: LocalIssuer, clock: SettableClock
) -> None:
    token = issuer.token(NOW)
    last = NOW + (300 + 60) * SECOND
    for moment, status in ((NOW, 200), (last - 1, 200), (last, 401)):
        clock.time = moment
        assert sent(app, token).status == status
        assert sent(app, issuer.token(NOW, jti="never seen before")).status == status
    assert sent(app, token).data["what"] == "this token has expired"


@pytest.mark.parametrize(("skew", "status"), [(60, 200), (61, 401), (-359, 200), (-360, 401)])
def test_clocks_of_issuer_and_server_may_be_apart_by_the_leeway(
    app: App, issuer: LocalIssuer, skew: int, status: int
) -> None:
    token = issuer.token(NOW + skew * SECOND, nbf=NOW // SECOND + skew)
    assert sent(app, token).status == status


def test_whoever_is_in_no_group_may_do_nothing(app: App, issuer: LocalIssuer) -> None:
    for claims in ({"groups": ["others"]}, {"groups": None}, {"groups": {"fraud-team": 1}}):
        assert sent(app, issuer.token(NOW, **claims)).status == 403


def test_groups_may_stand_deeper_or_in_one_text(issuer: LocalIssuer) -> None:
    for claim, claims in (
        ("realm_access.roles", {"realm_access": {"roles": ["fraud-team"]}}),
        ("https://example.com/roles", {"https://example.com/roles": ["fraud-team"]}),
        ("scope", {"scope": "openid fraud-team"}),
    ):
        section = {"issuer": issuer.url, "audience": "skewless", "claim": claim, **GROUPS}
        tokens = Tokens(OidcSettings.of(section, "the test"), lambda: NOW)
        tokens.issuer.refresh()
        header = f"Bearer {issuer.token(NOW, groups=None, **claims)}".encode()
        found = tokens.caller(header)
        assert found is not None
        assert (found.scope, found.actor) == ("read", "user:ada")


def test_with_an_issuer_nobody_comes_in_without_token_or_key(
    app: App, store: sl.FeatureStore, issuer: LocalIssuer
) -> None:
    assert call(app, *READ).status == 401
    key = keys.create(store.runtime.registry, scope="read")
    app.upkeep.work()
    assert [sent(app, each).status for each in (key, issuer.token(NOW), "x")] == [200, 200, 401]
    assert call(app, *READ).status == 401
    check_access(store, Settings(host="0.0.0.0"))


def test_the_short_cut_asks_for_the_token_too(app: App, issuer: LocalIssuer) -> None:
    body = json.dumps(READ[2]).encode()
    given = [{}, {b"authorization": b"Bearer " + issuer.token(NOW).encode()},
             {b"authorization": b"Bearer " + issuer.token(NOW, key=STRANGER).encode()}]  # fmt: skip
    answers = [app.at_once(b"/v1/features", headers, body) for headers in given]
    assert [answer[0].status for answer in answers if answer] == [401, 200, 401]


def test_a_server_told_to_ask_nobody_asks_for_no_token(store: sl.FeatureStore) -> None:
    app = App(store, Settings(anonymous=True))
    app.start()
    assert call(app, *READ).status == 200


# --------------------------------------------------------------------------- keys of the issuer


def test_keys_are_fetched_once_and_not_for_each_token(
    app: App, issuer: LocalIssuer, ticks: Ticks
) -> None:
    issuer.asked.clear()
    for number in range(20):
        assert sent(app, issuer.token(NOW, jti=str(number))).status == 200
        app.upkeep.ask_issuer()
    assert issuer.asked == []
    ticks.seconds += issuers.EVERY
    app.upkeep.ask_issuer()
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_a_key_that_is_new_counts_once_the_issuer_was_asked(
    app: App, issuer: LocalIssuer, ticks: Ticks
) -> None:
    new = jwk.ECKey.generate_key("P-256", {"kid": "new"})
    issuer.keys.append(new)
    token = issuer.token(NOW, key=new, alg="ES256")
    assert sent(app, token).status == 401, "it was asked a moment ago"
    ticks.seconds += issuers.AGAIN
    waiting = sent(app, token)
    assert (waiting.status, waiting.data["error"]) == (503, "StoreUnavailable")
    app.upkeep.ask_issuer()
    assert sent(app, token).status == 200


def test_unknown_keys_do_not_make_a_server_ask_all_the_time(
    app: App, issuer: LocalIssuer, ticks: Ticks
) -> None:
    issuer.asked.clear()
    stranger = jwk.ECKey.generate_key("P-256", {"kid": "stranger"})
    for _ in range(50):
        ticks.seconds += 1
        sent(app, issuer.token(NOW, key=stranger, alg="ES256"))
        app.upkeep.ask_issuer()
    assert issuer.asked.count("/keys") == 5


def test_tokens_by_a_key_that_was_taken_back_end_with_it(
    app: App, issuer: LocalIssuer, ticks: Ticks
) -> None:
    token = issuer.token(NOW)
    assert sent(app, token).status == 200
    issuer.keys.remove(issuer.keys[0])
    ticks.seconds += issuers.EVERY
    app.upkeep.ask_issuer()
    assert sent(app, token).status == 401


def test_an_issuer_that_is_away_shuts_nobody_out_for_a_day(
    app: App, issuer: LocalIssuer, ticks: Ticks
) -> None:
    issuer.away = True
    ticks.seconds += issuers.STALE - 1
    app.upkeep.ask_issuer()
    assert sent(app, issuer.token(NOW)).status == 200
    ticks.seconds += 2
    app.upkeep.ask_issuer()
    for token in (issuer.token(NOW), issuer.token(NOW, key=STRANGER)):
        assert sent(app, token).status == 503
    issuer.away = False
    ticks.seconds += issuers.AGAIN
    app.upkeep.ask_issuer()
    assert sent(app, issuer.token(NOW)).status == 200


@pytest.mark.parametrize(
    "wrong",
    [{"away": True}, {"name": "https://somebody.else"}, {"jwks": "ftp://127.0.0.1/keys"},
     {"jwks": "http://keys.example.com/"}, {"keys": []}, {"jwks": "/elsewhere"}],
    ids=str,
)  # fmt: skip
def test_a_server_starts_without_the_issuer_and_refuses_tokens_until_it_is_there(
    store: sl.FeatureStore, issuer: LocalIssuer, wrong: dict[str, Any]
) -> None:
    key = keys.create(store.runtime.registry, scope="read")
    for name, value in wrong.items():
        setattr(issuer, name, issuer.url + value if value == "/elsewhere" else value)
    app = App(store, Settings())
    app.start()
    assert [sent(app, each).status for each in (issuer.token(NOW), key)] == [503, 200]


def test_keys_that_cannot_be_read_leave_the_others_be(
    store: sl.FeatureStore, issuer: LocalIssuer
) -> None:
    issuer.more = [{"kty": "OKP", "crv": "X9", "kid": "later", "x": "AA"},
                   {"kty": "oct", "kid": "rsa", "k": "c2VjcmV0"}, {"kty": "RSA"}]  # fmt: skip
    app = App(store, Settings())
    app.start()
    assert sent(app, issuer.token(NOW)).status == 200


@pytest.mark.parametrize(
    "wrong",
    [{"issuer": ""}, {"issuer": "http://login.example.com"}, {"issuer": "login"}, {"issuer": 5},
     {"audience": ""}, {"jwks": "file:///etc/passwd"}, {"read": "fraud-team"}, {"claim": ""},
     {"read": [], "write": [], "admin": []}, {"leeway": "soon"}, {"leeway": "1h"}],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_refused_with_their_place(wrong: dict[str, Any]) -> None:
    section = {"issuer": "https://login.example.com", "audience": "skewless", **GROUPS}
    with pytest.raises(ConfigError, match="the test"):
        OidcSettings.of(section | wrong, "the test")
