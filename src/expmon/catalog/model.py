"""What a relation, a column and a statement are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp


class Kind(StrEnum):
    """How a relation comes to be."""

    SOURCE = "source"
    TABLE = "table"
    VIEW = "view"


class Cadence(StrEnum):
    """The three schedules: every five minutes, hourly at :30, daily at 03:00 UTC."""

    LIVE = "live"
    HOURLY = "hourly"
    DAILY = "daily"


class Unit(StrEnum):
    """How wide a partition is."""

    DAY = "DAY"
    HOUR = "HOUR"


class Project(StrEnum):
    """Which of the configured projects a relation lies in."""

    DATA = "data"
    VIEWS = "views"
    EXPERIMENTS = "experiments"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``type`` is written as in BigQuery's DDL."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Partitioning:
    """By which column a table is partitioned, how wide, and after how many days it expires.

    Attributes:
        require_filter: whether BigQuery refuses queries that name no partition.
    """

    column: str
    unit: Unit = Unit.DAY
    expiration_days: int | None = None
    require_filter: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A source, table or view.

    Attributes:
        name: ``dataset.table``, with Mozilla's names; configuration may map it elsewhere.
        inputs: the names of the relations that it is computed from.
        cadence: the schedule that writes it; None where nothing of ours does.
        physical: of a source that is a view on BigQuery: the table behind it, whose partitions
            tell what the source has.
    """

    name: str
    kind: Kind
    description: str
    columns: tuple[Column, ...]
    partitioning: Partitioning | None = None
    clustering: tuple[str, ...] = ()
    cadence: Cadence | None = None
    inputs: tuple[str, ...] = ()
    project: Project = Project.DATA
    physical: str | None = None

    def __post_init__(self) -> None:
        names = self.column_names
        if self.name.count(".") != 1:
            raise ValueError(f"{self.name!r} is not dataset.table")
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name} has a column twice")
        used = {*self.clustering, *([self.partitioning.column] if self.partitioning else [])}
        if missing := used - set(names):
            raise ValueError(f"{self.name} is partitioned or clustered by unknown {missing}")

    @property
    def dataset(self) -> str:
        """The part before the dot."""
        return self.name.split(".")[0]

    @property
    def table(self) -> str:
        """The part after the dot."""
        return self.name.split(".")[1]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class Tiers:
    """The three tables and the live view of one set of aggregates, and what is kept by the hour.

    Attributes:
        by_hour: sums of the days that are over, few enough for every tick to look back at.
        keys: what a row is grouped by, beside its window.
        measures: the counts.
        cumulative: whether the live view has running sums beside the counts.
    """

    name: str
    daily: Relation
    hourly: Relation
    recents: Relation
    live: Relation
    by_hour: Relation
    keys: tuple[str, ...]
    measures: tuple[str, ...]
    cumulative: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the three tables, in order."""
        return self.daily.column_names


class Series(StrEnum):
    """The kinds of derived datasets, each computed by one builder."""

    COUNT = "count"
    CUMULATIVE = "cumulative"
    DAILY = "daily"
    EVENTS = "events"


class Rollup(StrEnum):
    """How the points of a series become one point of a coarser time."""

    SUM = "sum"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A derived time series: what it counts; its statement is built by ``expmon.statements``.

    Attributes:
        value: the measure, an expression over the aggregates' columns.
        unit: what a value counts, as the axis of a picture says it.
        starts: of a cumulative series: which rows of the aggregates it begins with; None: any.
        rollup: how it becomes coarser; None where that has no meaning.
    """

    name: str
    description: str
    series: Series
    value: str
    unit: str
    table: Relation
    view: Relation
    tiers: Tiers | None = None
    starts: str | None = None
    rollup: Rollup | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter; ``type`` is written as in BigQuery."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Statement:
    """A query, or what creates a view, as a tree, and the parameters that it takes.

    Statements are equal only if they are the same one: trees are dear to compare.

    Attributes:
        name: the relation, or the job, that the query is of; errors say it.
    """

    name: str
    tree: exp.Expr = field(repr=False)
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class TableName:
    """Where a relation really lies."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


@dataclass(frozen=True, slots=True)
class Names:
    """Projects, and renamed datasets and tables; Mozilla's names where nothing is configured.

    Attributes:
        datasets: from a dataset's name in the catalogue to its real one.
        renamed: from a relation's name in the catalogue to ``dataset.table``, or
            ``project.dataset.table``; it wins over ``datasets``.
        physical: from a source's name to the table behind it, written as in ``renamed``, where the
            source is a view.
    """

    data: str = "moz-fx-data-shared-prod"
    views: str = "mozdata"
    experiments: str = "moz-fx-data-experiments"
    datasets: Mapping[str, str] = field(default_factory=dict, hash=False)
    renamed: Mapping[str, str] = field(default_factory=dict, hash=False)
    physical: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __hash__(self) -> int:
        maps = (self.datasets, self.renamed, self.physical)
        items = (item for entries in maps for item in sorted(entries.items()))
        return hash((self.data, self.views, self.experiments, *items))

    @property
    def is_one_project(self) -> bool:
        """Whether everything lies in one project: that of people who run it on their own."""
        return self.data == self.views == self.experiments

    def of(self, relation: Relation) -> TableName:
        """Where the relation lies.

        Args:
            relation: any of the catalogue.
        """
        return self._place(relation, self.renamed.get(relation.name))

    def behind(self, source: Relation) -> TableName:
        """The table with a source's rows: the source itself, unless it is a view.

        Args:
            source: a relation that nothing of ours writes.
        """
        place = self.physical.get(source.name)
        if place is None and source.name not in self.renamed and source.physical is not None:
            dataset, table = source.physical.split(".")
            place = f"{self.datasets.get(dataset, dataset)}.{table}"
        return self.of(source) if place is None else self._place(source, place)

    def _place(self, relation: Relation, place: str | None) -> TableName:
        project: str = getattr(self, relation.project.value)
        if place is None:
            dataset = self.datasets.get(relation.dataset, relation.dataset)
            return TableName(project, dataset, relation.table)
        parts = place.split(".")
        return TableName(*parts) if len(parts) == 3 else TableName(project, *parts)
