"""The methods by which columns are aggregated: one per aggregation, complete in an editor.

Every method takes windows: durations (``"1h"``) or windows (``sl.tumbling("1h")``), or
``last=n`` for the newest n rows. Several windows make several features. ``offset="1d"`` shifts
them back, ``resolution="5m"`` makes long sliding windows cheap online, ``default=`` stands in
where the value would be null. ``by="merchant"`` groups the rows of the window by a text column:
the value is then a map from each of its values to the aggregate of the rows that have it.

>>> from skewless.definitions.source import Source
>>> pays = Source("pays", schema={"card": str, "merchant": str, "amount": float}, event_time="at")
>>> pays.amount.sum("1h", by="merchant").dtype
Map(Float64)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar

from skewless.aggregations import aggregation
from skewless.aggregations.approximate import need_sketches
from skewless.aggregations.base import parameters_of
from skewless.aggregations.windows import Window, lifetime
from skewless.errors import DefinitionError
from skewless.types import DType

WindowLike = str | timedelta | Window
Made = TypeVar("Made")


class ColumnMethods(Generic[Made]):
    """Aggregations of a row expression: a column, or anything computed from columns.

    Class attributes:
        _aggregate: makes one of the expression, the aggregation, windows and options. The module of
            aggregates sets it: they are made of expressions, which have these methods.
        _zscore: likewise, of the module of scores.
    """

    _aggregate: ClassVar[Callable[..., Any]]
    _zscore: ClassVar[Callable[..., Any]]
    dtype: DType

    @property
    def _is_vector(self) -> bool:
        return self.dtype.kind == "vector"

    def _operation(self, name: str, *others: object) -> Any:
        """Return the operation of that name on this and other operands."""
        raise NotImplementedError

    def _over(
        self, name: str, windows: tuple[WindowLike, ...], options: dict[str, Any], **params: Any
    ) -> Made:
        made: Made = self._aggregate(aggregation(name, **params), windows, options)
        return made

    def _over_plugged_in(self, name: str, *windows: WindowLike, **options: Any) -> Made:
        """Return an aggregation that has no method here, such as one of a package of its own."""
        parameters = parameters_of(name)
        given = {option: options.pop(option) for option in list(options) if option in parameters}
        return self._over(name, windows, options, **given)

    def count(self, *windows: WindowLike, **options: Any) -> Made:
        """Number of values that are not null."""
        return self._over("count", windows, options)

    def sum(self, *windows: WindowLike, **options: Any) -> Made:
        """Exact sum; of vectors, element by element."""
        return self._over("vector_sum" if self._is_vector else "sum", windows, options)

    def mean(
        self, *windows: WindowLike, weight: Literal["time"] | None = None, **options: Any
    ) -> Made:
        """Exact mean; with ``weight="time"`` each value counts for as long as it stood.

        Of vectors it is that of each element.
        """
        if weight not in (None, "time"):
            raise DefinitionError("mean has no such weight", got=repr(weight), expected="'time'")
        plain = "vector_mean" if self._is_vector else "mean"
        return self._over(plain if weight is None else "time_mean", windows, options)

    def time_in(self, state: object, *windows: WindowLike, **options: Any) -> Made:
        """Seconds for which the column was ``state``: each row stands until the next."""
        return self._over("time_in", windows, options, state=state)

    def min(self, *windows: WindowLike, **options: Any) -> Made:
        """Smallest value."""
        return self._over("min", windows, options)

    def max(self, *windows: WindowLike, **options: Any) -> Made:
        """Greatest value."""
        return self._over("max", windows, options)

    def std(self, *windows: WindowLike, ddof: int = 0, **options: Any) -> Made:
        """Standard deviation, population unless ``ddof=1``."""
        return self._over("std", windows, options, ddof=ddof)

    def var(self, *windows: WindowLike, ddof: int = 0, **options: Any) -> Made:
        """Variance, population unless ``ddof=1``."""
        return self._over("var", windows, options, ddof=ddof)

    def skew(self, *windows: WindowLike, **options: Any) -> Made:
        """Skewness, population."""
        return self._over("skew", windows, options)

    def kurtosis(self, *windows: WindowLike, **options: Any) -> Made:
        """Excess kurtosis, population."""
        return self._over("kurtosis", windows, options)

    def slope(self, *windows: WindowLike, **options: Any) -> Made:
        """Least-squares slope over event time, per second."""
        return self._over("slope", windows, options)

    def zscore(self, *windows: WindowLike, **options: Any) -> Made:
        """How many standard deviations the newest value lies above the mean of the window.

        Of the values that are not null, the newest among them; null without spread.
        """
        made: Made = self._zscore(windows, options)
        return made

    def cov(self, other: object, *windows: WindowLike, ddof: int = 0, **options: Any) -> Made:
        """Covariance with another column, population unless ``ddof=1``."""
        return self._with(other, "cov")._over("cov", windows, options, ddof=ddof)

    def corr(self, other: object, *windows: WindowLike, **options: Any) -> Made:
        """Correlation with another column (Pearson), -1 to 1; null without spread."""
        return self._with(other, "corr")._over("corr", windows, options)

    def beta(self, other: object, *windows: WindowLike, **options: Any) -> Made:
        """Slope of the least-squares line over another column; null where that has no spread."""
        return self._with(other, "beta")._over("beta", windows, options)

    def _with(self, other: object, name: str) -> ColumnMethods[Made]:
        """Return the pairs of this and another column."""
        if not getattr(other, "per_row", False):
            raise DefinitionError(
                f"{name} needs another column",
                got=repr(other),
                expected=f"such as tests.vdd.{name}(tests.idd, '30d')",
            )
        paired: ColumnMethods[Made] = self._operation("pair", other)
        return paired

    def n_unique(self, *windows: WindowLike, **options: Any) -> Made:
        """Number of distinct values, exactly."""
        return self._over("n_unique", windows, options)

    def approx_unique(self, *windows: WindowLike, precision: int = 12, **options: Any) -> Made:
        """Number of distinct values: exact up to ``2**precision``, then within about 1.6 %.

        Needs ``pip install 'skewless[sketches]'``.
        """
        need_sketches()
        return self._over("approx_unique", windows, options, precision=precision)

    def approx_quantile(
        self, q: float, *windows: WindowLike, accuracy: float = 0.01, **options: Any
    ) -> Made:
        """The ``q`` quantile within a relative error of ``accuracy``."""
        return self._over("approx_quantile", windows, options, q=q, accuracy=accuracy)

    def quantile(self, q: float, *windows: WindowLike, **options: Any) -> Made:
        """The ``q`` quantile, linear between neighbours."""
        return self._over("quantile", windows, options, q=q)

    def median(self, *windows: WindowLike, **options: Any) -> Made:
        """The middle value."""
        return self._over("median", windows, options)

    def mode(self, *windows: WindowLike, **options: Any) -> Made:
        """The most frequent value, the smallest among equals."""
        return self._over("mode", windows, options)

    def top_k(self, k: int, *windows: WindowLike, **options: Any) -> Made:
        """The ``k`` most frequent values."""
        return self._over("top_k", windows, options, k=k)

    def histogram(self, edges: Sequence[float], *windows: WindowLike, **options: Any) -> Made:
        """Counts per bucket between ``edges``, with one below and one above."""
        return self._over("histogram", windows, options, edges=tuple(map(float, edges)))

    def trend(self, *windows: WindowLike, recent: int = 10, **options: Any) -> Made:
        """Change in per cent of the newest ``recent`` rows against those before."""
        return self._over("trend", windows, options, recent=recent)

    def ewma(self, half_life: str, *windows: WindowLike, **options: Any) -> Made:
        """Mean whose weights halve with every ``half_life`` of age."""
        return self._over("ewma", windows, options, half_life=half_life)

    def since_last(self, *windows: WindowLike, **options: Any) -> Made:
        """Seconds since the newest row whose value is not null."""
        return self._over("since_last", windows, options)

    def rate(self, *windows: WindowLike, **options: Any) -> Made:
        """Values that are not null, per second of the window."""
        return self._over("rate", windows, options)

    def since_first(self, *windows: WindowLike, **options: Any) -> Made:
        """Seconds since the oldest row whose value is not null; by default the oldest of all."""
        return self._over("since_first", or_lifetime(windows, options), options)

    def changes(self, *windows: WindowLike, **options: Any) -> Made:
        """How often a value is another than the one before it in the window."""
        return self._over("changes", windows, options)

    def previous(self, *windows: WindowLike, **options: Any) -> Made:
        """The value before the newest, of those that are not null."""
        return self._over("previous", windows, options)

    def diff(self, *windows: WindowLike, **options: Any) -> Made:
        """The newest value less the one before it, of those that are not null."""
        return self._over("diff", windows, options)

    def streak(self, *windows: WindowLike, **options: Any) -> Made:
        """How many of the newest rows in a row are true, of a condition."""
        return self._over("streak", windows, options)

    def burst(self, width: str, *windows: WindowLike, **options: Any) -> Made:
        """The greatest number of values that are not null within ``width`` of each other."""
        return self._over("burst", windows, options, width=width)

    def distinct(self, *windows: WindowLike, **options: Any) -> Made:
        """The distinct values, in ascending order."""
        return self._over("distinct", windows, options)

    def last_n(self, n: int, *windows: WindowLike, **options: Any) -> Made:
        """The newest ``n`` values that are not null, oldest first."""
        if not windows and options.get("last") is None and options.get("by") is None:
            options["last"] = n
        return self._over("last_n", windows, options, n=n)

    def first_n(self, n: int, *windows: WindowLike, **options: Any) -> Made:
        """The oldest ``n`` values that are not null, oldest first."""
        return self._over("first_n", windows, options, n=n)

    def first(self, *windows: WindowLike, skip_nulls: bool = False, **options: Any) -> Made:
        """Value of the oldest row, null included unless ``skip_nulls``."""
        return self._over("first", windows, options, skip_nulls=skip_nulls)

    def latest(
        self,
        *windows: WindowLike,
        ttl: str | None = None,
        skip_nulls: bool = False,
        **options: Any,
    ) -> Made:
        """Value of the newest row, null included unless ``skip_nulls``; expired after ``ttl``."""
        if ttl is not None:
            options["ttl"] = ttl
        return self._over("latest", windows, options, skip_nulls=skip_nulls)


def or_lifetime(windows: tuple[WindowLike, ...], options: dict[str, Any]) -> tuple[WindowLike, ...]:
    """Return the windows, or where none is said that of all rows."""
    return windows or (() if options.get("last") is not None else (lifetime(),))
