"""The registry of a team: a schema of a PostgreSQL database (12 or newer).

    with PostgresRegistry("postgresql://user@host/db") as registry:
        registry.state().current                       # {"Spend": 2}

Readers are not held up by the writer; writers of all machines take turns, by an advisory lock that
is theirs alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from skewless.clock import Clock
from skewless.config import DEFAULT_PROJECT
from skewless.definitions.naming import checked_name
from skewless.errors import Conflict, MissingDependency, RegistryError, StoreError, StoreUnavailable
from skewless.registry.sql import Execute, Row, SQLRegistry

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.pq import TransactionStatus
except ImportError as problem:
    raise MissingDependency.of("psycopg", "postgres", needed_for="PostgresRegistry") from problem

from skewless.stores.online.pool import Pool
from skewless.stores.online.postgres.rows import Connection, connect

DEFAULT_TIMEOUT_SECONDS = 10.0
BUSY_SECONDS = 30


class PostgresRegistry(SQLRegistry):
    """A registry in the tables of one PostgreSQL schema.

    Args:
        dsn: a connection URL or string, as libpq takes it. Its password never appears in an error.
        schema: where the tables lie; made by the first change. It belongs to the registry alone.
        timeout: seconds to wait for a connection and for an answer; half a minute more where others
            write.
        clock: tells when things happen.
        folder: the repo's, where the functions of on-demand views are looked for.
        project: whose definitions these are; those of others are neither seen nor changed.

    Raises:
        MissingDependency: the driver is not installed: `pip install 'skewless[postgres]'`.
        StoreUnavailable: the server cannot be reached.
        RegistryError: the schema is of a newer release, or another program's.
        Conflict: somebody else has been writing for half a minute.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "skewless",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        clock: Clock | None = None,
        folder: str | Path | None = None,
        project: str = DEFAULT_PROJECT,
    ) -> None:
        super().__init__(clock, folder, project)
        self._dsn = dsn
        self._schema = checked_name(schema, "schema")
        self._timeout = timeout
        try:
            place = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            raise RegistryError("not an address of a PostgreSQL database") from None
        port = place.get("port") or 5432
        self.where = f"{place.get('host') or 'localhost'}:{port}/{place.get('dbname') or ''}"
        self._pool = Pool(
            lambda: connect(self._dsn, self._timeout),
            usable=lambda connection: connection.info.transaction_status == TransactionStatus.IDLE,
            closed=lambda: RegistryError("this registry is closed", where=self.where),
        )

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Execute | None]:
        with self._translated_errors(), ExitStack() as lent:
            connection = self._begun(lent, write)
            try:
                run = _session(connection)
                if write:
                    run("SELECT pg_advisory_xact_lock(hashtext(?))", (f"registry.{self._schema}",))
                    self._make_schema(run)
                yield run
                connection.execute("COMMIT")
            except BaseException:
                if not connection.closed:
                    connection.execute("ROLLBACK")
                raise

    def _begun(self, lent: ExitStack, write: bool) -> Connection:
        """Return a connection in a new transaction; one that went stale is replaced, once."""
        patience = self._timeout + (BUSY_SECONDS if write else 0)
        kind = "" if write else "ISOLATION LEVEL REPEATABLE READ READ ONLY"
        begin = (
            f'BEGIN {kind}; SET LOCAL search_path TO "{self._schema}";'
            f" SET LOCAL lock_timeout TO '{BUSY_SECONDS}s';"
            f" SET LOCAL statement_timeout TO {int(patience * 1000)}"
        ).encode()
        for again in (True, False):
            connection = lent.enter_context(self._pool.connection())
            connection.patience = patience + max(1.0, self._timeout / 4)
            try:
                connection.execute(begin)
                break
            except psycopg.OperationalError:
                lent.close()
                self._pool.discard_idle()
                if not again:
                    raise
        return connection

    def _make_schema(self, run: Execute) -> None:
        # Asked first: CREATE SCHEMA IF NOT EXISTS takes the right to make one even where there is.
        if not run("SELECT 1 FROM pg_namespace WHERE nspname = ?", (self._schema,)):
            run(f'CREATE SCHEMA "{self._schema}"')

    def _table_names(self, run: Execute) -> set[str]:
        rows = run("SELECT tablename FROM pg_tables WHERE schemaname = ?", (self._schema,))
        return {name for (name,) in rows}

    def close(self) -> None:
        """Release the connections; a second call does nothing."""
        self._pool.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn the driver's errors into this package's."""
        try:
            yield
        except psycopg.errors.LockNotAvailable as problem:
            raise Conflict(
                "somebody else is writing to the registry",
                where=self.where,
                hint=f"It was waited for {BUSY_SECONDS} s; try again.",
            ) from problem
        except (psycopg.OperationalError, psycopg.InterfaceError) as problem:
            raise StoreUnavailable(
                "the registry cannot be reached",
                got=str(problem).strip().partition("\n")[0],
                where=self.where,
                hint="A change that was under way may or may not have happened: look at history().",
            ) from problem
        except psycopg.Error as problem:
            raise StoreError(
                "the registry cannot be used", got=str(problem).strip(), where=self.where
            ) from problem


def _session(connection: Connection) -> Execute:
    def run(statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        cursor = connection.execute(statement.replace("?", "%s").encode(), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    return run
