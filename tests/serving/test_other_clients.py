"""Clients in other languages, as they come: Java, Go, Node, curl, and one made of the OpenAPI."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import skewless as sl
from benchmarks.harness import CACHE, PeerMissing
from benchmarks.peers.environment import python_with
from skewless.testing.servers import missing, program
from tests.serving.calling import Running, serving

GENERATOR = "openapi-python-client==0.29.1"
BIG = 2**53 + 1
"""A whole number that JavaScript has no number for."""
DEFINITIONS = """
import skewless as sl

card = sl.Entity("card", card_id=int)
payments = sl.Source("payments", schema={"card_id": int, "amount": float, "device": int}, event_time="at")

@sl.feature_view(entity=card, source=payments)
class Newest:
    values = payments.latest("amount", "device")

service = sl.FeatureService("newest", [Newest])
"""
READ = json.dumps(
    {"service": "newest", "entities": {"card_id": [str(BIG), None]}, "int64_as_text": True}
)
FEAST = json.dumps({"feature_service": "newest", "entities": {"card_id": [str(BIG)]}})


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clients") / "repo"
    folder.mkdir()
    (folder / "features.py").write_text(DEFINITIONS)
    with sl.FeatureStore(folder) as fs:
        fs.apply(fs.plan())
        at = datetime.now(UTC) - timedelta(minutes=1)
        row = {"card_id": BIG, "amount": 2.5, "device": BIG, "at": at}
        fs.push("payments", [row], backdate=True)
    return folder


@pytest.fixture(scope="module")
def server(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Workers: what is written goes on to another process."""
    with serving(repo, tmp_path_factory.mktemp("served"), "--workers", "2") as running:
        yield running


def pushed(card: int) -> str:
    at = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    row = {"card_id": str(card), "amount": 7.0, "device": 1, "at": at}
    return json.dumps({"source": "payments", "rows": [row], "backdate": True})


def lines_of(command: list[str], folder: Path, **options: object) -> list[str]:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line]


JAVA = """
import java.net.URI;
import java.net.http.*;
import java.time.Duration;

public class Ask {
    public static void main(String[] given) throws Exception {
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
        for (int at = 1; at + 1 < given.length; at += 2) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(given[0] + given[at]))
                .timeout(Duration.ofSeconds(20)).header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(given[at + 1])).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""
GO = """
package main

import ("bytes"; "fmt"; "io"; "net/http"; "os"; "time")

func main() {
	client := http.Client{Timeout: 20 * time.Second}
	for at := 2; at+1 < len(os.Args); at += 2 {
		answer, problem := client.Post(os.Args[1]+os.Args[at], "application/json", bytes.NewBufferString(os.Args[at+1]))
		if problem != nil { fmt.Fprintln(os.Stderr, problem); os.Exit(1) }
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode, string(body))
	}
}
"""
NODE = """
const [url, ...given] = process.argv.slice(2);
for (let at = 0; at + 1 < given.length; at += 2) {
  const answer = await fetch(url + given[at], {
    method: 'POST', headers: {'content-type': 'application/json'}, body: given[at + 1],
  });
  console.log(answer.status, JSON.stringify(await answer.json()));
}
"""


def by_java(folder: Path, *words: str) -> list[str]:
    java = program("java", install="on Debian: apt-get install openjdk-17-jdk-headless")
    (folder / "Ask.java").write_text(JAVA)
    return lines_of([java, "Ask.java", *words], folder)


def by_go(folder: Path, *words: str) -> list[str]:
    go = program("go", install="on Debian: apt-get install golang")
    (folder / "ask.go").write_text(GO)
    return lines_of([go, "run", "ask.go", *words], folder)


def by_node(folder: Path, *words: str) -> list[str]:
    node = program("node", install="on Debian: apt-get install nodejs")
    (folder / "ask.mjs").write_text(NODE)
    return lines_of([node, "ask.mjs", *words], folder)


def by_curl(folder: Path, url: str, *words: str) -> list[str]:
    """With the wish for HTTP/2 that it sends with each request."""
    curl = program("curl", install="on Debian: apt-get install curl")
    found = []
    for path, body in zip(words[::2], words[1::2], strict=True):
        command = [curl, "-sS", "--http2", "-m", "20", "-H", "content-type: application/json"]
        answer = lines_of([*command, "-d", body, "-w", "\\n%{http_code}", url + path], folder)
        found.append(f"{answer[-1]} {answer[0]}")
    return found


@pytest.mark.parametrize("ask", [by_java, by_go, by_node, by_curl])
def test_a_client_of_another_language_reads_and_pushes(
    server: Running, tmp_path: Path, ask: Callable[..., list[str]]
) -> None:
    words = ["/v1/features", READ, "/v1/push", pushed(5), "/get-online-features", FEAST,
             "/v1/features", READ, "/v1/features", "{"]  # fmt: skip
    found = [line.split(" ", 1) for line in ask(tmp_path, server.url, *words)]
    assert [status for status, _ in found] == ["200", "200", "200", "200", "422"]
    read, push, feast, again, wrong = (json.loads(body) for _, body in found)
    for each in (read, again):
        assert each["values"] == {"amount": [2.5, None], "device": [str(BIG), None]}
        assert each["statuses"]["device"] == ["present", "unknown"]
    assert (push["accepted"], push["quarantined"]) == (1, 0)
    assert feast["results"][1]["values"] == [2.5]
    assert wrong["error"] == "RequestError"


def test_a_client_that_was_made_of_the_description_reads_and_pushes(
    server: Running, tmp_path: Path
) -> None:
    """Each operation becomes a module of the client; requests and answers become classes."""
    try:
        python = python_with(CACHE / GENERATOR.replace("==", "-"), [GENERATOR], True)()
    except PeerMissing as reason:
        missing(str(reason))
    make = [python, "-m", "openapi_python_client", "generate", "--meta", "none",
            "--url", server.url + "/openapi.json", "--output-path", "made", "--fail-on-warning"]  # fmt: skip
    formatter = {"PATH": f"{Path(python).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    lines_of(make, tmp_path, env=formatter)
    script = """
import json, sys
from made import Client
from made.api.default import get_online_features, list_views, push
from made.models import FeaturesRequest, PushRequest
client = Client(sys.argv[1], raise_on_unexpected_status=True)
asked = FeaturesRequest.from_dict(json.loads(sys.argv[2]))
answer = get_online_features.sync_detailed(client=client, body=asked)
done = push.sync(client=client, body=PushRequest.from_dict(json.loads(sys.argv[3])))
print(json.dumps([answer.status_code, answer.parsed.to_dict()["values"], done.to_dict()["accepted"]]))
print(json.dumps([each.to_dict()["name"] for each in list_views.sync(client=client).views]))
"""
    (tmp_path / "use.py").write_text(script)
    found = lines_of([python, "use.py", server.url, READ, pushed(6)], tmp_path)
    assert json.loads(found[0]) == [200, {"amount": [2.5, None], "device": [str(BIG), None]}, 1]
    assert json.loads(found[1]) == ["Newest"]
