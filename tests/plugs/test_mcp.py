"""The catalogue for agents, asked by the SDK's own client over standard input and output."""

import asyncio
import json
import sys

import pytest

import skewless as sl
from skewless.testing.clock import SettableClock
from tests.plugs.real import needs
from tests.shop import CARD, NOON, pay, payments, spend_of

needs("mcp")

from mcp import StdioServerParameters  # noqa: E402
from mcp.client.client import Client  # noqa: E402
from mcp.client.stdio import stdio_client  # noqa: E402

from skewless.plugs.mcp import server  # noqa: E402


@pytest.fixture
def repo(tmp_path):
    pays = payments(row_id="pay_id")
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as fs:
        spend = spend_of(pays)
        fs.apply(fs.plan(CARD, pays, spend, sl.FeatureService("fraud", [spend])))
        fs.push("pays", [pay("p1", NOON - 1_000_000, 7.0)])
    return tmp_path


def asked(repo, *calls, arguments=()):
    """Return the answers of a server that a client of its own process starts and asks."""

    async def ask():
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "skewless.cli.main", "mcp", "--repo", str(repo), *arguments],
        )
        async with Client(stdio_client(parameters)) as client:
            tools = await client.list_tools()
            return tools.tools, [await client.call_tool(name, given) for name, given in calls]

    return asyncio.run(asyncio.wait_for(ask(), timeout=120))


def data(answer):
    assert not answer.is_error, answer
    return json.loads(answer.content[0].text)


def test_a_client_finds_shows_and_uses_features(repo):
    tools, answers = asked(
        repo,
        ("search", {"text": "spend of a card in an hour"}),
        ("show", {"name": "Spend:total_1h"}),
        ("freshness", {}),
        ("lineage", {"name": "Spend:total_1h", "down": 0}),
        ("snippet", {"features": ["fraud"]}),
        ("explain", {"feature": "Spend:total_1h", "entity": {"card_id": "c1"}}),
    )
    assert {tool.name for tool in tools} == {
        "search", "show", "freshness", "lineage", "snippet", "explain"
    }  # fmt: skip
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    found, shown, fresh, lineage, snippet, explained = map(data, answers)
    assert "Spend@v1:total_1h" in {each["feature"] for each in found}
    assert shown["kind"] == "feature"
    assert [each["view"] for each in fresh] == ["Spend"]
    assert {"kind": "column", "name": "pays.amount", "distance": -1} in lineage["nodes"]
    assert {"Training set", "Online", "HTTP", "Shell"} <= {each["title"] for each in snippet}
    online = next(each["code"] for each in snippet if each["title"] == "Online")
    exec(online, {})
    assert explained["feature"].endswith("total_1h")


def test_an_error_says_what_to_do(repo):
    _, [answer] = asked(repo, ("show", {"name": "Spend:totl_1h"}))
    assert answer.is_error
    assert "Did you mean 'total_1h'?" in answer.content[0].text


def test_without_values_no_row_is_shown(repo):
    tools, [answer] = asked(
        repo,
        ("explain", {"feature": "Spend:total_1h", "entity": {"card_id": "c1"}}),
        arguments=["--no-values"],
    )
    assert "explain" not in {tool.name for tool in tools}
    assert answer.is_error


def test_nothing_that_writes_is_among_the_tools(repo):
    with sl.FeatureStore(repo) as fs:
        names = {tool.name for tool in asyncio.run(server(fs).list_tools())}
    writing = {"push", "delete", "apply", "materialize", "backfill", "compact", "check", "tend"}
    assert not names & writing
