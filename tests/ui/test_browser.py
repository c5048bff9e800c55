"""Pages in Chromium, from a real `skewless ui`: policy, other hosts, widths, themes, accessibility."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from skewless.clock import iso
from skewless.testing.servers import downloaded, missing, program
from tests.ui.repo import HOUR, MINUTE, NOON, filled
from tests.ui.test_security import EVIL, dressed

pytestmark = pytest.mark.server("chromium")

EXPLAINED = f"/explore?of=card&key.card_id=c1&at={iso(NOON - HOUR)}&feature=Spend@v1:big"
ZOOMED = f"{EXPLAINED}&zoom=r0~{iso(NOON - 3 * HOUR)}~{iso(NOON - 2 * HOUR)}"
PAGES = [
    "/", "/search", "/search?q=spend", "/search?q=zebra", "/views", "/views/Spend",
    "/views/Spend/statistics", "/features/Spend:total_1h", "/features/Asked:ratio", "/services",
    "/services/fraud_model", "/entities", "/entities/card", "/sources", "/sources/pays",
    "/freshness", "/changes", "/acts", "/acts/deprecate?of=Spend", "/acts/silence?of=pays/check", "/lineage", "/lineage?of=fraud_model", "/quality", "/alerts", "/cost", "/drift", "/drift?of=Spend@v1:total_24h", "/acts/accept?of=Spend", "/replay", "/replay?request=r1",
    "/replay?request=nobody", "/replay?entity=card_id%3Dc2&features=fraud_model", "/jobs", "/runs", "/training-sets", "/explore", "/explore?of=card&key.card_id=c1", EXPLAINED,
    "/explore?of=card&key.card_id=c1&feature=Spend@v1:share", ZOOMED,
]  # fmt: skip
SERIOUS = """async () => (await axe.run()).violations
    .filter((found) => ["serious", "critical"].includes(found.impact))
    .map((found) => [found.id, found.nodes.map((node) => node.html).slice(0, 3)])"""


@contextmanager
def shown(folder: Path, at: int) -> Iterator[str]:
    """Run the catalogue of a repo in a process of its own; its address."""
    words = ["ui", "--repo", str(folder), "--port", "0", "--at", iso(at)]
    with subprocess.Popen(
        [sys.executable, "-m", "skewless.cli.main", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "shows the catalogue at" in line
            yield line.split()[-1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = program("chromium", install="on Debian: apt-get install chromium")
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed; pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browsed")
    fs, _ = filled(folder)
    fs.close()
    with shown(folder, NOON + MINUTE) as found:
        yield found


@contextmanager
def opened(browser: Any, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page that notes errors, refusals of the policy, and what it asks of other hosts."""
    context = browser.new_context(**options)
    page, noted = context.new_page(), []
    page.on("console", lambda m: noted.append(m.text) if m.type in {"error", "warning"} else None)
    page.on("pageerror", lambda problem: noted.append(str(problem)))
    page.on("dialog", lambda dialog: (noted.append(dialog.message), dialog.dismiss()))
    page.on(
        "request",
        lambda asked: None if "//127.0.0.1:" in asked.url else noted.append(asked.url),
    )
    yield page, noted
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_keep_the_policy_and_everybody_can_use_them(
    browser: Any, address: str, theme: str
) -> None:
    text = (downloaded("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    with opened(browser, color_scheme=theme) as (page, noted):
        for path in PAGES:
            page.goto(address + path, wait_until="networkidle")
            page.evaluate(text)
            assert (path, page.evaluate(SERIOUS)) == (path, [])
        assert noted == []


@pytest.mark.parametrize("width", [375, 640, 1280])
def test_no_page_is_wider_than_the_window(browser: Any, address: str, width: int) -> None:
    with opened(browser, viewport={"width": width, "height": 800}) as (page, _):
        for path in PAGES:
            page.goto(address + path, wait_until="networkidle")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert (path, wide) == (path, width)


def test_everything_can_be_read_without_scripts(browser: Any, address: str) -> None:
    with opened(browser, java_script_enabled=False) as (page, noted):
        page.goto(f"{address}/features/Quiet:biggest")
        page.get_by_role("link", name="Compute it").click()
        assert "entities with a value" in page.inner_text("main")
        page.goto(address + EXPLAINED)
        page.get_by_role("link", name="last_3").first.click()
        assert "mean of pays.amount over last 3" in page.inner_text("#explained")
        assert page.get_by_role("button", name="Copy").count() == 0
        assert noted == []


def test_a_timeline_zooms_without_scripts_and_by_keyboard(browser: Any, address: str) -> None:
    with opened(browser, java_script_enabled=False) as (page, noted):
        page.goto(address + EXPLAINED)
        whole = page.locator(".marks a").count()
        zoom = page.get_by_role("navigation", name="Zoom").first
        assert zoom.get_by_role("link").all_inner_texts() == ["Closer"]
        step = page.locator("a:has(> .zoom-to)").first
        words = page.locator("a:has(> .zoom-to) title").first.text_content()
        assert "Zoom to" in str(words)
        step.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**zoom=r0~**")
        assert page.locator("#r0").is_visible()
        assert page.locator(".marks a").count() < whole
        zoom = page.get_by_role("navigation", name="Zoom").first
        assert {"Wider", "Later", "Whole"} <= set(zoom.get_by_role("link").all_inner_texts())
        zoom.get_by_role("link", name="Whole").click()
        assert page.locator(".marks a").count() == whole
        assert noted == []


def test_with_scripts_pages_complete_themselves(browser: Any, address: str) -> None:
    with opened(browser, color_scheme="light") as (page, noted):
        page.goto(f"{address}/features/Spend:total_1h")
        page.get_by_text("entities with a value").wait_for()
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.goto(f"{address}/views")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.keyboard.press("/")
        page.keyboard.type("big")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search?q=big")
        assert noted == []


def test_a_mark_leads_to_its_row_by_keyboard(browser: Any, address: str) -> None:
    with opened(browser) as (page, _):
        page.goto(address + EXPLAINED)
        page.locator(".marks a").last.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.querySelector('tr:target') !== null")


def test_no_text_of_others_runs(browser: Any, tmp_path: Path) -> None:
    dressed(tmp_path, EVIL).close()
    paths = ["/", "/search?all=1", "/views", "/entities/card", "/sources/pays", "/changes",
             "/services/model", *(f"/views/View{n}" for n in range(4)),
             *(f"/features/View{n}:city_{n}" for n in range(4))]  # fmt: skip
    with shown(tmp_path, NOON) as address, opened(browser) as (page, noted):
        page.goto(f"{address}/explore?of=card")
        keys = [each.get_attribute("href") for each in page.locator("main a.key").all()]
        assert len(keys) > 5
        for path in [*paths, *(f"{key}&feature=View0:city_0" for key in keys)]:
            page.goto(address + path, wait_until="networkidle")
            assert page.evaluate("window.evil") is None, path
        assert noted == []
