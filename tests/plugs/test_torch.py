"""The plug of PyTorch: every row once, in an order that comes again, in bounded memory."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import from_micros
from tests.plugs.docs_example import run_example
from tests.plugs.real import needs
from tests.shop import CARD, HOUR, NOON, open_store, pay, payments, spend_of

torch = needs("torch")
from torch.utils.data import DataLoader  # noqa: E402

from skewless.plugs import torch as plug  # noqa: E402
from skewless.plugs.torch import to_torch  # noqa: E402

ROWS = 1_000


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    pays = payments(row_id="pay_id")
    with open_store(tmp_path_factory.mktemp("torch"), CARD, pays, spend_of(pays)) as fs:
        fs.push("pays", [pay(f"p{n}", NOON - n * HOUR, n / 3, card=f"c{n % 3}") for n in range(9)])
        spine = [
            {"card_id": f"c{n % 4}", "y": n % 2 == 0, "t": from_micros(NOON + 1)} for n in range(10)
        ]
        yield fs.get_historical_features(
            spine, ["Spend:mean_3", "Spend:count_1d", "Spend:city"], timestamp="t",
            as_of="event_time",
        )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A training set of ten row groups in three files: a number, a vector, a label."""
    where = tmp_path_factory.mktemp("rows")
    for part, groups in enumerate([4, 4, 2]):
        first, rows = part * 400, groups * 100
        ids = range(first, first + rows)
        vectors = [None if n % 7 == 0 else [n, n + 0.5] for n in ids]
        table = pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "v": pa.array(vectors, pa.list_(pa.float32(), 2)),
                "y": pa.array([float(n % 5) for n in ids]),
                "text": ["x"] * rows,
            }
        )
        pq.write_table(table, where / f"part-{part}.parquet", row_group_size=100)
    return where


def ids_of(batches):
    return [int(value) for x in batches for value in x[:, 0]]


def test_tensors_have_the_values_of_the_training_set(training):
    data = to_torch(
        training, "y", columns=["mean_3", "count_1d"], batch_size=4, dtype=torch.float64
    )
    batches = list(data)
    assert [tuple(x.shape) for x, _ in batches] == [(4, 2), (4, 2), (2, 2)]
    found = torch.cat([x for x, _ in batches]).tolist()
    expected = [list(row) for row in zip(training["mean_3"], training["count_1d"], strict=True)]
    assert [[None if math.isnan(v) else v for v in row] for row in found] == expected
    assert torch.cat([y for _, y in batches]).tolist() == [float(each) for each in training["y"]]
    assert next(iter(to_torch(training, columns=["count_1d"]))).dtype == torch.float32


def test_files_are_streamed_in_order_and_vectors_are_columns(folder):
    data = to_torch(folder, "y", columns=["id", "v"], batch_size=64)
    batches = list(data)
    assert [len(x) for x, _ in batches] == [64] * 15 + [40]
    x = torch.cat([x for x, _ in batches])
    assert x.shape == (ROWS, 3)
    assert x[:, 0].tolist() == list(range(ROWS))
    assert x[8].tolist() == [8.0, 8.0, 8.5]
    assert bool(torch.isnan(x[7, 1:]).all())
    assert torch.cat([y for _, y in batches])[:6].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 0.0]


@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("seed", [None, 7])
def test_every_row_comes_once_whatever_reads_it(folder, workers, seed):
    data = to_torch(folder, columns=["id"], batch_size=64, seed=seed)
    found = ids_of(DataLoader(data, batch_size=None, num_workers=workers))
    assert sorted(found) == list(range(ROWS))


def test_processes_share_the_rows(folder):
    data = to_torch(folder, columns=["id"], batch_size=64, seed=7)
    shares = [ids_of(data.of_process(rank, 3)) for rank in range(3)]
    assert sorted(n for share in shares for n in share) == list(range(ROWS))
    assert all(shares)
    with pytest.raises(sl.InputError, match="no such process"):
        data.of_process(3, 3)


def test_an_order_comes_again_and_changes_with_the_epoch(folder, monkeypatch):
    monkeypatch.setattr(plug, "BUFFER", 300)
    orders = []
    for epoch in (0, 1, 0):
        data = to_torch(folder, columns=["id"], batch_size=50, seed=7)
        data.set_epoch(epoch)
        orders.append(ids_of(data))
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(ROWS))
    first = orders[0][:50]
    assert len({n // 100 for n in first}) > 1, "a batch is drawn from several row groups"


def test_x_and_y_stay_together_when_rows_are_shuffled(folder):
    for x, y in to_torch(folder, "y", columns=["id"], batch_size=64, seed=3):
        assert (x[:, 0] % 5).tolist() == y.tolist()


def test_memory_does_not_follow_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(plug, "BUFFER", 4_000)
    schema = pa.schema([(f"f{n}", pa.float64()) for n in range(20)])
    with pq.ParquetWriter(tmp_path / "big.parquet", schema) as writer:
        for group in range(100):
            column = pa.array([float(group)] * 2_000)
            writer.write_table(pa.table([column] * 20, schema=schema))
    size = 100 * 2_000 * 20 * 8
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for x in to_torch(tmp_path / "big.parquet", columns=schema.names, batch_size=500, seed=1):
        most = max(most, pa.total_allocated_bytes() - before)
        rows += len(x)
    assert rows == 200_000
    assert 0 < most < size / 10


def test_what_tensors_cannot_hold_is_said(training, folder, tmp_path):
    with pytest.raises(sl.InputError, match="'city' of type string"):
        to_torch(training)
    with pytest.raises(sl.InputError, match="which columns"):
        to_torch(folder)
    with pytest.raises(sl.MissingColumn, match="'ids'"):
        to_torch(folder, columns=["ids"])
    with pytest.raises(sl.InputError, match="no training set"):
        to_torch(tmp_path, columns=["id"])
    pq.write_table(
        pa.table({"id": [1], "y": pa.array([None], pa.float64())}), tmp_path / "a.parquet"
    )
    with pytest.raises(sl.InputError, match="1 rows have no label"):
        list(to_torch(tmp_path, "y", columns=["id"]))


def test_the_example_of_the_docs(tmp_path, monkeypatch):
    names = run_example("PyTorch", monkeypatch, tmp_path)
    assert names["loss"].item() >= 0
