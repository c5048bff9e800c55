"""What the processes of the kill tests do: work on a repo until they are killed at a chosen step.

A step is a call that leaves Python to change something outside: a write, a commit, a rename.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import types
from functools import partial

import pyarrow as pa

import skewless as sl
from skewless.materialize import materialize
from tests.shop import HOUR, MINUTE, NOON, SettableClock, open_store, pay, payments, spend_of

# Loaded once, in the server that the processes are forked from.
for module in (
    "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "skewless.online.apply",
    "skewless.ingest.push", "skewless.materialize.verbs", "skewless.registry.sqlite",
    "skewless.stores.offline.tables.parquet", "skewless.stores.online.lmdb.store",
    "skewless.stores.online.sqlite.store",
):  # fmt: skip
    importlib.import_module(module)
pa.array([1.5])  # Arrow looks for pandas when it first makes an array
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.materialize.victim"])
CHANGING = {
    "Transaction": {"put", "delete", "pop", "commit", "abort"},
    "Cursor": {"put", "putmulti", "delete", "pop", "execute", "executemany"},
    "Environment": {"sync", "set_mapsize"},
    "Connection": {"execute", "executemany", "commit"},
    "ParquetWriter": {"write_table", "close"},
    "module": {"rename", "unlink", "fsync", "mkdir", "truncate"},
}
"""By the type that has them, the calls that change something outside."""
CARDS = ("c1", "c2", "c3")
SOURCE = payments(row_id="pay_id", table=sl.Parquet("pays"))
SPEND = spend_of(SOURCE)
BATCH = 1


def first_rows():
    return [
        pay(f"old{n}", NOON - 2 * HOUR + n * MINUTE, n / 7, card=CARDS[n % 3], n=n)
        for n in range(60)
    ]


def batch(number):
    """A batch with as many rows for every card."""
    return [pay(f"new{number}-{card}", NOON - number, 3.5, card=card) for card in CARDS]


def push(fs):
    fs.push("pays", [*batch(1), *batch(2)])


def push_one(fs):
    fs.push("pays", batch(3)[:1])


def correct(fs):
    """Corrections in place and to another card, a duplicate, and a row to set aside."""
    rows = [
        pay("old5", NOON - MINUTE, 99.0, card="c1"),
        pay("old58", NOON - 2 * HOUR + 58 * MINUTE, -1.0, card="c3"),
        pay("old59", NOON - 2 * HOUR + 59 * MINUTE, 59 / 7, card="c3", n=59),
        pay("bad", NOON, "no number"),
    ]
    fs.push("pays", rows)


def delete(fs):
    fs.delete("pays", ["old59", "old58", "old57", "old0"])


def compact(fs):
    fs.compact()


def apply(fs):
    """A second view, and a view whose values change."""
    changed = spend_of(SOURCE, total=SOURCE.amount.sum("30m"), words=SOURCE.city.last_n(3, last=3))
    fs.apply(fs.plan(changed, spend_of(SOURCE, "More")))


def apply_and_materialize(fs):
    apply(fs)
    fs.materialize()


def backfill(fs):
    fs.backfill()


OPERATIONS = {
    f.__name__: f
    for f in (push, push_one, correct, delete, compact, apply, apply_and_materialize, backfill)
}


def opened(folder, kind):
    materialize._BATCH = BATCH
    return open_store(folder, clock=SettableClock(NOON), online={"kind": kind})


class Steps:
    """Notes steps and ends the process before one of them, as a loss of power would."""

    def __init__(self, last=None):
        self.taken = []
        self.last = last

    def __call__(self, frame, event, arg):
        if event == "c_call":
            owner = type(getattr(arg, "__self__", None)).__name__.lstrip("_")  # a class of ours
            statement = str(frame.f_locals.get("statement", ""))
            reads = statement.startswith(("SELECT", "PRAGMA"))
            if arg.__name__ in CHANGING.get(owner, ()) and not reads:
                self.step(f"{owner}.{arg.__name__}")

    def step(self, name):
        self.taken.append(name)
        if len(self.taken) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def work(folder, kind, name, last, report):
    """Do an operation, to its end or to step ``last``; then report the steps it took."""
    with opened(folder, kind) as fs:
        fs.runtime.tables()
        steps = Steps(last)
        sys.setprofile(steps)
        OPERATIONS[name](fs)
        steps.step("return")
        sys.setprofile(None)
        report.send(steps.taken)


def work_for_ever(folder, kind, first, report):
    """Push batches, correct and delete rows of theirs, and compact; report what is acknowledged."""
    with opened(folder, kind) as fs:
        number = first
        while True:
            number += 1
            fs.push("pays", batch(number))
            report.send(("pushed", number))
            if number % 3 == 0:
                rows = [row | {"amount": -row["amount"]} for row in batch(number - 1)]
                fs.push("pays", rows)
                report.send(("corrected", number - 1))
            if number % 5 == 0:
                fs.delete("pays", [row["pay_id"] for row in batch(number - 2)])
                report.send(("deleted", number - 2))
            if number % 7 == 0:
                fs.compact()
            if number % 11 == 0:
                fs.backfill()


def push_batches(folder, kind, writer, batches, report):
    """Push batches beside other processes; some rows are everybody's."""
    with opened(folder, kind) as fs:
        report.send("ready")
        report.recv()
        for number in range(batches):
            fs.push(
                "pays", [row | {"pay_id": f"{writer}-{row['pay_id']}"} for row in batch(number)]
            )
            fs.push("pays", [pay("shared", NOON - MINUTE, float(number), card=CARDS[number % 3])])
        report.send("done")


def process(target, *arguments):
    """Start a process; return it and our end of its reports."""
    ours, theirs = SERVER.Pipe()
    child = SERVER.Process(target=partial(target, *arguments), args=(theirs,))
    # Children would import the test runner's main module, which takes longer than all they do.
    runner, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
    try:
        child.start()
    finally:
        sys.modules["__main__"] = runner
    theirs.close()
    return child, ours
