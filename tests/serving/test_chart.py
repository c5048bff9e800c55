"""The Helm chart of deploy/: rendered by Helm's own code, held to Kubernetes' schemas and to ours."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import skewless
from skewless.config import Config
from skewless.testing.servers import module
from tests.serving.test_deploy import parsed

CHART = Path(__file__).parent.parent.parent / "deploy" / "helm"
OLDEST, NEWEST = "1.29", "1.37"
EMBEDDED: dict[str, Any] = {"image": {"repository": "example/features"}}
POSTGRES = {"kind": "postgres", "dsn": "postgresql://skewless:${PGPASSWORD}@db/ml"}
LAKE = {"log": {"kind": "delta", "path": "s3://lake/log"}}
SETTINGS = {"online": POSTGRES, "registry": POSTGRES, "offline": LAKE}
REDIS = {"kind": "redis", "url": "redis://:${REDIS_PASSWORD}@cache:6379/0", "timeout": 2}
SHARED: dict[str, Any] = {
    "image": {"repository": "example/features", "digest": "sha256:" + "0" * 64},
    "replicas": 3,
    "settings": SETTINGS,
    "secrets": {"PGPASSWORD": {"secret": "database", "key": "password"}},
    "environment": {"OTEL_SERVICE_NAME": "features"},
    "options": ["--max-entities", "500"],
    "network": {"egress": [{"ports": [{"port": 5432}]}]},
    "tls": {"secret": "certificate"},
    "monitor": {"enabled": True, "key": {"secret": "prometheus", "key": "key"}},
}
CASES = {"embedded": EMBEDDED, "shared": SHARED}


@pytest.fixture(scope="module")
def helm() -> Any:
    return module("helm_python", "helm-python-sdk")


def rendered(helm: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="fraud", namespace="ml")
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def of_kind(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in resources if each["kind"] == kind]


def pods(resources: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in of_kind(resources, "Deployment"):
        yield each["spec"]["template"]
    for each in of_kind(resources, "CronJob"):
        yield each["spec"]["jobTemplate"]["spec"]["template"]


def containers(resources: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for pod in pods(resources):
        yield from pod["spec"].get("initContainers", [])
        yield from pod["spec"]["containers"]


@pytest.fixture(params=sorted(CASES))
def resources(helm: Any, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return rendered(helm, CASES[request.param])


def test_helm_finds_nothing_wrong_with_the_chart(helm: Any) -> None:
    for values in CASES.values():
        report = helm.lint(str(CHART), values, strict=True)
        assert report["errors"] == []
        assert [m for m in report["messages"] if m["severity"] > 1] == []


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == skewless.__version__
    assert chart["kubeVersion"].startswith(f">={OLDEST}.")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(resources: list[dict[str, Any]], version: str) -> None:
    validate = module("kubernetes_validate", "kubernetes-validate").validate
    native = [each for each in resources if each["kind"] != "ServiceMonitor"]
    assert len(native) >= 6
    for each in native:
        assert validate(each, version, strict=True) == version
    broken = native[0] | {"spec": native[0]["spec"] | {"replica": 1}}
    with pytest.raises(Exception, match="replica"):
        validate(broken, version, strict=True)


def test_pods_have_no_rights_that_they_do_not_need(resources: list[dict[str, Any]]) -> None:
    for pod in pods(resources):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    for each in containers(resources):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "privileged": False, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert each["resources"]["limits"]["memory"]
        written = {m["mountPath"] for m in each["volumeMounts"] if not m.get("readOnly")}
        assert written == {"/repo/.skewless", "/tmp"}


def test_containers_run_commands_that_there_are(resources: list[dict[str, Any]]) -> None:
    for each in containers(resources):
        words = each.get("command", [])
        if words[:1] == ["skewless"]:
            parsed(words[1:])
        elif words:
            for command in re.findall(r"^\s*skewless (.*?) \|\| :$", each["args"][0], re.M):
                parsed(command.split())


def test_secrets_are_files_and_never_variables(helm: Any) -> None:
    """Only those containers that speak TLS have its key."""
    found = rendered(helm, SHARED)
    for each in containers(found):
        assert {v["name"]: v["value"] for v in each["env"]} == {
            "SKEWLESS_REPO": "/repo",
            "OTEL_SERVICE_NAME": "features",
            "PGPASSWORD_FILE": "/run/secrets/skewless/PGPASSWORD",
        }
        assert "envFrom" not in each
        tls = any(mount["name"] == "tls" for mount in each["volumeMounts"])
        assert tls == (each["name"] == "server")
    for pod in pods(found):
        (projected,) = [v["projected"] for v in pod["spec"]["volumes"] if v["name"] == "secrets"]
        items = [{"key": "password", "path": "PGPASSWORD"}]
        assert projected["sources"] == [{"secret": {"name": "database", "items": items}}]
    assert of_kind(found, "Secret") == []


def test_probes_ask_what_there_is_and_speak_as_the_server_does(helm: Any) -> None:
    for values, scheme in ((EMBEDDED, "HTTP"), (SHARED, "HTTPS")):
        (server,) = [
            each for each in containers(rendered(helm, values)) if each["name"] == "server"
        ]
        paths = {
            kind: server[f"{kind}Probe"]["httpGet"]["path"]
            for kind in ("startup", "liveness", "readiness")
        }
        assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
        assert {server[f"{kind}Probe"]["httpGet"]["scheme"] for kind in paths} == {scheme}
        if scheme == "HTTP":
            assert parsed(["serve", *server["args"]]).params["workers"] == 2
        else:
            assert server["args"][2:6] == [
                "--tls-cert",
                "/run/tls/tls.crt",
                "--tls-key",
                "/run/tls/tls.key",
            ]
            words = server["args"][:2] + server["args"][6:]
            assert parsed(["serve", *words]).params["max_entities"] == 500


def test_what_is_embedded_has_one_pod_with_its_upkeep_beside_it(helm: Any) -> None:
    found = rendered(helm, EMBEDDED)
    (deployment,) = of_kind(found, "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["shareProcessNamespace"] is True
    assert [each["name"] for each in pod["containers"]] == ["server", "upkeep"]
    assert of_kind(found, "CronJob") == []
    (claim,) = of_kind(found, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert {"persistentVolumeClaim": {"claimName": "fraud-skewless"}, "name": "state"} in pod[
        "volumes"
    ]


def test_what_is_shared_has_several_pods_and_jobs_of_its_own(helm: Any) -> None:
    found = rendered(helm, SHARED)
    (deployment,) = of_kind(found, "Deployment")
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    jobs = {each["metadata"]["name"]: each["spec"] for each in of_kind(found, "CronJob")}
    assert set(jobs) == {"fraud-skewless-materialize", "fraud-skewless-compact"}
    assert {spec["concurrencyPolicy"] for spec in jobs.values()} == {"Forbid"}
    assert of_kind(found, "PersistentVolumeClaim") == []
    for each in containers(found):
        assert each["image"] == SHARED["image"]["repository"] + "@" + SHARED["image"]["digest"]


def test_selectors_find_the_pods_that_they_are_for(resources: list[dict[str, Any]]) -> None:
    servers = [pod["metadata"]["labels"] for pod in pods(resources)]
    (deployment,), (service,) = of_kind(resources, "Deployment"), of_kind(resources, "Service")
    (budget,), (policy,) = (
        of_kind(resources, "PodDisruptionBudget"),
        of_kind(resources, "NetworkPolicy"),
    )
    for selector in (deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"],
                     budget["spec"]["selector"]["matchLabels"]):  # fmt: skip
        assert [selector.items() <= labels.items() for labels in servers] == [True] + [False] * (
            len(servers) - 1
        )
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    assert all(chosen.items() <= labels.items() for labels in servers)
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    for monitor in of_kind(resources, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        assert selector.items() <= service["metadata"]["labels"].items()
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert endpoint["authorization"]["credentials"] == {"name": "prometheus", "key": "key"}
        assert endpoint["tlsConfig"]["serverName"] == "fraud-skewless.ml.svc"


def test_the_settings_are_those_of_the_server(
    helm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "project": "fraud",
        "online": REDIS,
        "registry": POSTGRES,
        "journal": POSTGRES,
        "offline": LAKE,
    }
    (config,) = of_kind(rendered(helm, SHARED | {"settings": settings}), "ConfigMap")
    text = config["data"]["skewless.toml"]
    assert tomllib.loads(text) == settings
    assert isinstance(tomllib.loads(text)["online"]["timeout"], int)
    (tmp_path / "skewless.toml").write_text(text)
    for name in ("PGPASSWORD", "REDIS_PASSWORD"):
        monkeypatch.setenv(name, "hush")
    assert Config.read(tmp_path).online.options["url"] == "redis://:hush@cache:6379/0"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, ["online store (lmdb)", "registry (sqlite)", "the offline store"]),
        (SETTINGS | {"online": {"kind": "sqlite"}}, ["online store (sqlite)"]),
        (SETTINGS | {"online": REDIS}, ["the journal"]),
        (SETTINGS | {"registry": {"kind": "sqlite", "path": "/repo/.skewless/x"}}, ["registry"]),
        (SETTINGS | {"offline": {"folder": "history"}}, ["the offline store"]),
        (SETTINGS | {"offline": {"folder": "s3://lake/history"}}, ["the offline store"]),
        (SETTINGS | {"online": {"store": "next"}, "stores": {"next": {"kind": "lmdb", "path": "x"}}},
         ["online store (lmdb)"]),
        (SETTINGS | {"online": POSTGRES | {"mirror": "old"}, "stores": {"old": {"kind": "lmdb"}}},
         ["its mirror (lmdb)"]),
    ],
)  # fmt: skip
def test_several_pods_over_something_embedded_are_refused(
    helm: Any, settings: dict[str, Any], named: list[str]
) -> None:
    values = SHARED | {"settings": settings}
    with pytest.raises(helm.HelmError, match="replicas is 3, and these are embedded") as caught:
        rendered(helm, values)
    assert all(name in str(caught.value) for name in named)
    assert (
        of_kind(rendered(helm, values | {"replicas": 1}), "Deployment")[0]["spec"]["replicas"] == 1
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"settings": {"online": {"kind": "redis", "url": "redis://:hush@cache"}}}, "as it is"),
        ({"settings": {"online": {"kind": "redis", "url": "redis://ada:hu$sh@cache"}}}, "as it is"),
        ({"settings": {"online": {"kind": "redis", "url": "redis://:$hush@cache"}}}, "as it is"),
        ({"settings": {"streams": {"sasl.password": "hush"}}}, "as it is"),
        ({"settings": {"online": {"kind": "cassandra", "password": "hush"}}}, "as it is"),
        ({"settings": {"filesystem": {"s3": {"secret_key": "hush"}}}}, "as it is"),
        ({"settings": {"registry": {"kind": "postgres", "dsn": "host=db password=hush"}}}, "as it is"),
        ({"environment": {"PGPASSWORD": "hush"}}, "PGPASSWORD"),
        ({"secrets": {"PGPASSWORD": "hush"}}, "PGPASSWORD"),
        ({"options": ["--anonymous"]}, "--anonymous is not one of options"),
        ({"network": {"egress": []}}, "network.egress is empty"),
        ({"image": {"repository": ""}}, "image/repository"),
        ({"replica": 2}, "replica"),
        ({"monitor": {"enabled": True}}, "monitor.key.secret"),
    ],
)  # fmt: skip
def test_what_must_not_be_installed_is_refused_and_said(
    helm: Any, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(message)):
        rendered(helm, SHARED | {"replicas": 1} | values)


def test_the_values_in_the_docs_are_taken(helm: Any) -> None:
    text = (CHART.parent.parent / "docs" / "deployment.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n# values.yaml\n(.*?)```", text, re.DOTALL)
    found = rendered(helm, yaml.safe_load(block))
    assert of_kind(found, "Deployment")[0]["spec"]["replicas"] == 3
