"""Flink: a job that takes a Kafka topic into online states, exactly once, by many tasks at once.

    skewless flink run payments                           # Flink in this process, until Ctrl-C
    skewless flink submit payments --jobmanager flink:8081

    Job("features", "payments").run()                     # the same in Python

The topic is the log: no journal is written (`skewless.ingest.lanes`). Flink reads it, hands tasks
the messages of their partitions in batches, checkpoints, and starts what failed again. Each task
keeps rows, states and the last offset of each partition in one step, so nothing depends on where
Flink begins again: what comes twice is passed over. The job starts where the states are, whatever
became of the job before. What would be missed is looked for, and is an error.

A task needs the package, Java's Kafka connector beside Flink, and skewless.toml; no definitions:
these lie beside the states.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from skewless.definitions.tables import Kafka, Located
from skewless.errors import ConfigError, InputError, MissingDependency, SkewlessError, StoreError
from skewless.forks import cached_property
from skewless.ingest.lanes.begin import begin
from skewless.ingest.lanes.records import LaneRecord
from skewless.ingest.lanes.writer import LaneWriter
from skewless.ingest.stream.status import stream_reader
from skewless.online.log_owned import lanes_table
from skewless.online.ownership import Mark
from skewless.store import FeatureStore
from skewless.streams.kafka import KafkaReader
from skewless.streams.kafka_topic import KafkaTopic

CONNECTOR = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"
ROWS = 2_000
"""Messages of a batch at most."""
_OPTIONS = {
    "table.local-time-zone": "UTC",
    "execution.checkpointing.interval": "10s",
    "python.fn-execution.bundle.time": "10",  # milliseconds that messages wait for more of them
    "python.fn-execution.bundle.size": str(ROWS),
    "python.fn-execution.arrow.batch.size": str(ROWS),
}
_COLUMNS = "k, v, p, o, t, MAP_KEYS(h), MAP_VALUES(h)"
_JAVA = {
    "security.protocol": "security.protocol",
    "sasl.mechanism": "sasl.mechanism",
    "sasl.mechanisms": "sasl.mechanism",
    "ssl.ca.location": "ssl.truststore.location",
    "ssl.endpoint.identification.algorithm": "ssl.endpoint.identification.algorithm",
}
"""Settings of librdkafka that Java's client knows too, by other names."""
_NO_CAUSE = "Python process exits"
_JOB = re.compile(r"submitted with JobID ([0-9a-f]{32})")
_LOGINS = {"PLAIN": "plain.PlainLoginModule", "SCRAM": "scram.ScramLoginModule"}


class TakeIn:
    """What each task does with messages: they are kept, and that is all.

    Args:
        folder: of skewless.toml, where the task runs.
        source: name of the source.
        stream: name of the topic, see `KafkaTopic.name`.
    """

    def __init__(self, folder: str, source: str, stream: str) -> None:
        self._folder, self._source, self._stream = Path(folder), source, stream
        self._known = 0

    def __call__(
        self, keys: Any, values: Any, partitions: Any, offsets: Any, times: Any, *headers: Any
    ) -> Any:
        """Keep the messages of a batch, which come as columns of pandas.

        Raises:
            SkewlessError: they could not be kept, or not exactly. Flink brings them again.
        """
        # The topic of now is that of these messages, and of the states: another of its name may
        # have come meanwhile, with states that were begun anew for it.
        for stream in {self._stream, self._topic.name()}:
            self._writer.check(stream)
        self._known = max(self._known, self._writer.clock.now())
        micros = times.dt.as_unit("us").astype("int64").tolist()
        records = [
            LaneRecord(b"%d" % p, o, v, k, at, headers=_headers(*told), known=self._known)
            for k, v, p, o, at, *told in zip(
                keys, values, partitions.tolist(), offsets.tolist(), micros, *headers, strict=True
            )
        ]
        for record in records:
            if record.lane not in self._firsts:
                self._check_first(record)
                self._firsts.add(record.lane)
        for _ in self._writer.kept(records):
            pass
        return partitions

    @cached_property
    def _writer(self) -> LaneWriter:
        return LaneWriter(self._folder, self._source)

    @cached_property
    def _topic(self) -> KafkaTopic:
        stream = cast(Located, self._writer.source.stream)
        return KafkaTopic(KafkaReader(stream, self._folder))

    @cached_property
    def _firsts(self) -> set[bytes]:
        """Lanes that have begun in this attempt."""
        return set()

    def _check_first(self, record: LaneRecord) -> None:
        """Look whether anything lies between what the states hold and where Flink goes on."""
        following = self._writer.reached(record.lane) + 1
        if record.number > following:
            self._topic.check_none_between(int(record.lane), following, record.number)


@dataclass(frozen=True)
class Job:
    """A job for one source.

    Args:
        repo: folder of the repo whose definitions were applied.
        source: name of a source with a topic of Kafka.
        folder: of skewless.toml where tasks run; None: that of the repo.
        jar: file of Kafka's connector, where Flink does not have it.
        python: of the tasks; None: this one.
        options: settings of Flink, by their names.
        kafka: settings of Java's Kafka client, by its names, beyond those of the source.

    Raises:
        InputError: the source has no topic of Kafka, or settings that Java's client lacks.
        DefinitionError, Conflict: see `skewless.ingest.lanes.begin.begin`.
    """

    repo: str
    source: str
    folder: str | None = None
    jar: str | None = None
    python: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    kafka: Mapping[str, str] = field(default_factory=dict)

    def run(self, *, wait: bool = True) -> str:
        """Start it where this process is told to, by default within it; return its id.

        Args:
            wait: whether to wait until it ends.

        Raises:
            MissingDependency: apache-flink is not installed.
            ConfigError: Flink lacks Kafka's connector.
            StoreError: it failed, or could not be started.
        """
        table, udf = _pyflink()
        statement, take = self._begun()
        with _translated():
            env = table.TableEnvironment.create(table.EnvironmentSettings.in_streaming_mode())
            settings = {**_OPTIONS, "python.executable": self.python or sys.executable}
            settings["pipeline.name"] = f"skewless {self.source}"
            if self.jar is not None:
                settings["pipeline.jars"] = Path(self.jar).resolve().as_uri()
            for name, value in {**settings, **self.options}.items():
                env.get_config().set(name, value)
            env.execute_sql(statement)
            env.execute_sql("CREATE TABLE nowhere (p INT) WITH ('connector' = 'blackhole')")
            of_batches = udf.udf(
                take,
                result_type=table.DataTypes.INT(),
                deterministic=False,
                name="take_in",
                func_type="pandas",
            )
            env.create_temporary_function("take_in", of_batches)
            found = env.execute_sql(f"INSERT INTO nowhere SELECT take_in({_COLUMNS}) FROM messages")
            client = found.get_job_client()
            if wait:
                with _cancelled_at_the_end(client):
                    found.wait()
            return str(client.get_job_id())

    def submit(self, jobmanager: str | None) -> str:
        """Hand it to a cluster by Flink's own client; return its id.

        Args:
            jobmanager: ``host:port`` of its REST interface; None: as Flink's configuration says.

        Raises:
            MissingDependency: apache-flink is not installed.
            StoreError: the client failed.
        """
        _pyflink()
        import pyflink

        home = Path(os.environ.get("FLINK_HOME") or Path(pyflink.__file__).parent)
        where = [] if jobmanager is None else ["--jobmanager", jobmanager]
        python = ["-pyclientexec", sys.executable, "-pyexec", self.python or sys.executable]
        command = [str(home / "bin/flink"), "run", "--detached", *where, *python]
        if self.jar is not None:  # with what Flink adds to it
            command += ["--jarfile", self.jar]
        command += ["--python", __file__, *self._arguments()]
        done = subprocess.run(
            ["bash", *command],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        told = _JOB.search(done.stdout)
        if done.returncode or told is None:
            raise _error_of(done.stdout + done.stderr)
        return told[1]

    def _arguments(self) -> list[str]:
        words = [str(Path(self.repo).resolve()), self.source]  # it starts elsewhere
        for name, values in [
            ("--folder", [self.folder] if self.folder else []),
            ("--python", [self.python] if self.python else []),
            ("--option", [f"{name}={value}" for name, value in self.options.items()]),
            ("--kafka", [f"{name}={value}" for name, value in self.kafka.items()]),
        ]:
            words += [word for value in values for word in (name, value)]
        return words

    def _begun(self) -> tuple[str, TakeIn]:
        """Begin the states unless they are, and have the job begin where they are.

        Returns:
            the table of messages, in Flink's SQL, and what tasks do with them.
        """
        with FeatureStore(self.repo) as fs:
            runtime, source = fs.runtime, fs.runtime.source(self.source)
            if source.stream is None or source.stream.kind != Kafka.kind:
                raise InputError(
                    f"{self.source!r} has no topic of Kafka",
                    got="no stream" if source.stream is None else source.stream.kind,
                    expected="Source(..., stream=sl.Kafka(...))",
                )
            reader = cast(KafkaReader, stream_reader(runtime, source))
            settings = {**_of_java(reader.settings, source.stream), **self.kafka}
            topic = KafkaTopic(reader)
            name, firsts = topic.name(), topic.firsts()
            begin(runtime, source.name, name, {b"%d" % n: at - 1 for n, at in firsts.items()})
            states = runtime.home.states
            mark = cast(Mark, Mark.read(states))
            reached = {n: 0 for n in firsts}
            for lane, number in states.scan(lanes_table(source.name)):
                reached[int(lane)] = int(number) + 1
            group = f"skewless-{mark.writer.replace(' ', '-')}-{source.name}"
            topic.let_begin(group, reached)
            folder = self.folder or str(fs.config.folder.resolve())
            statement = _messages(reader.name, {**settings, "group.id": group})
            return statement, TakeIn(folder, source.name, name)


def _messages(topic: str, settings: Mapping[str, str]) -> str:
    """Return the statement that makes a topic a table of its messages, as they are."""
    options = {
        "connector": "kafka",
        "topic": topic,
        **{f"properties.{name}": str(value) for name, value in settings.items()},
        "properties.isolation.level": "read_committed",
        "scan.startup.mode": "group-offsets",
        "properties.auto.offset.reset": "none",  # what is gone is an error
        "scan.topic-partition-discovery.interval": "10s",
        "key.format": "raw",
        "key.fields": "k",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
    }
    told = ", ".join(f"{_quoted(name)} = {_quoted(value)}" for name, value in options.items())
    return (
        "CREATE TABLE messages (k BYTES, v BYTES, p INT METADATA FROM 'partition' VIRTUAL,"
        " o BIGINT METADATA FROM 'offset' VIRTUAL,"
        " t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,"
        " h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL)"
        f" WITH ({told})"
    )


def _quoted(text: str) -> str:
    """Return a text as SQL has it.

    >>> _quoted("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def _headers(names: Any, values: Any) -> list[tuple[str, Any]] | None:
    if names is None or not len(names):
        return None
    return list(zip(names, values, strict=True))


def _of_java(settings: Mapping[str, Any], stream: Located) -> dict[str, str]:
    """Return the settings of a stream as Java's Kafka client has them.

    Raises:
        InputError: there is one that it does not have.
    """
    given = {
        name: settings[name]
        for name in stream.options.get("options") or {}
        if name in settings  # those of schema registries are not the client's
    }
    found = {"bootstrap.servers": str(settings["bootstrap.servers"])}
    user, secret = given.pop("sasl.username", None), given.pop("sasl.password", None)
    for name, value in given.items():
        if name not in _JAVA:
            raise InputError(
                f"the option {name!r} of the stream is not one of Java's Kafka client",
                expected=", ".join([*_JAVA, "sasl.username", "sasl.password"]),
                hint="Leave it out there, and give what Java's calls it: --kafka NAME=VALUE",
            )
        found[_JAVA[name]] = str(value)
    if "ssl.truststore.location" in found:
        found["ssl.truststore.type"] = "PEM"
    if user is not None:
        kind = found.get("sasl.mechanism", "PLAIN").partition("-")[0]
        module = f"org.apache.kafka.common.security.{_LOGINS.get(kind, _LOGINS['PLAIN'])}"
        login = f"username={_java_text(user)} password={_java_text(secret)}"
        found["sasl.jaas.config"] = f"{module} required {login};"
    return found


def _java_text(value: object) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pyflink() -> tuple[Any, Any]:
    try:
        from pyflink import table
        from pyflink.table import udf
    except ImportError:
        raise MissingDependency(
            "jobs of Flink need apache-flink, which is not installed",
            hint="In an environment of its own: pip install apache-flink==2.3.0, and after that"
            " pip install 'skewless[flink]'; see docs/flink.md",
        ) from None
    return table, udf


@contextlib.contextmanager
def _cancelled_at_the_end(client: Any) -> Iterator[None]:
    """End a job with this process's interest in it."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            client.cancel().result()
        raise


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn errors of Flink into those of this package."""
    from py4j.protocol import Py4JError

    try:
        yield
    except SkewlessError:
        raise
    except (Py4JError, OSError) as problem:
        raise _error_of(str(problem)) from problem


def _error_of(text: str) -> SkewlessError:
    """Return the error that a text of Flink's tells."""
    if "identifier 'kafka'" in text:
        return ConfigError(
            "Flink lacks the connector of Kafka",
            expected=CONNECTOR,
            hint="Name its file: --jar PATH. Or put it into Flink's lib folder.",
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("skewless.errors.")]
    causes = [line for line in lines if line.startswith("Caused by: ") and _NO_CAUSE not in line]
    told = (own or causes or lines or ["no reason"])[-1]
    return StoreError("the job of Flink could not be run", got=told[:500])


def main(words: Sequence[str]) -> None:
    """Start a job from within Flink's own client; see `Job.submit`."""
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("repo")
    parser.add_argument("source")
    for name in ("--folder", "--python"):
        parser.add_argument(name)
    for name in ("--option", "--kafka"):
        parser.add_argument(name, action="append", default=[])
    given = parser.parse_args(words)
    pairs = [dict(each.split("=", 1) for each in some) for some in (given.option, given.kafka)]
    job = Job(given.repo, given.source, given.folder, None, given.python, *pairs)
    job.run(wait=False)


if __name__ == "__main__":
    # As the module it is: tasks look its classes up by name.
    importlib.import_module("skewless.plugs.flink").main(sys.argv[1:])
