"""The demo: three simulated days, watched as an orchestrator would."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expmon.cli.common import console, print_table
from expmon.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.progress import Progress, TaskID

    from expmon.monitor import Monitor
    from expmon.sandbox import Experiment, Traffic

MARKER = ".expmon-demo"
_OWN = (
    "monitoring.duckdb*",
    "recipes.json",
    "pings/*.json.gz",
    "exports/*.json",
    "exports/_expmon/claim.json",
)
"""What a demo leaves in its directory, and the next one clears away."""
START = date(2025, 3, 23)
DAYS = 3
CLIENTS = 6_000
SEED = 20250323
APPLICATION = "firefox_desktop"
SHARES = (0.3, 0.5, 0.35, 0.4, 0.6)
"""Which fraction of the clients is eligible for each of the five recipes."""

_HOUR = timedelta(hours=1)
_TICK = timedelta(minutes=5)
_CLOSE_LOOK = timedelta(hours=2)
"""How long before the end the live schedule is played in full."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("demo"))
def demo(directory: Path) -> None:
    """Simulate three days of experiments and watch them, in DIRECTORY.

    Deploys an embedded warehouse, loads five real recipes, simulates client pings, plays the
    schedules through the three days, and exports every active experiment.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from expmon.connection import connect

    _prepare(directory)
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    warehouse = directory / "monitoring.duckdb"
    with (
        Progress(*columns, console=console(error=True)) as progress,
        connect(f"duckdb://{warehouse}", directory / "exports") as monitor,
    ):
        played = _play(monitor, directory, progress)
        rows = list(_summary(monitor, played))
    print_table(
        ("experiment", "branch", "enrolled", "population", "daily active", "searches"),
        rows,
        title=f"Three days of experiments, as of {played.end:%Y-%m-%d %H:%M} UTC",
    )
    click.echo(f"pings:      {directory / 'pings'}/*.json.gz ({played.pings:,})")
    click.echo(f"warehouse:  {warehouse}")
    click.echo(f"exports:    {directory / 'exports'}/*.json ({played.files})")
    slug = played.slugs[-1]
    click.echo("\nLook further:")
    prefix = f"  {_program()} --warehouse duckdb://{warehouse}"
    click.echo(f"{prefix} fetch experiment_enrollment_overall {slug}")
    click.echo(f"{prefix} status --as-of {played.end:%Y-%m-%dT%H:%MZ}")


def _program() -> str:
    """How this command was called, as it can be called again from here."""
    if shutil.which("expmon"):
        return "expmon"
    return os.path.relpath(sys.argv[0])


@dataclass(frozen=True, slots=True)
class _Played:
    """What was played, and until when."""

    end: datetime
    slugs: tuple[str, ...]
    pings: int
    files: int


def _prepare(directory: Path) -> None:
    """Make the directory, or clear what an earlier demo left in it; nothing else is touched."""
    try:
        is_foreign = directory.exists() and not (directory / MARKER).exists()
        is_foreign = is_foreign and any(directory.iterdir())
    except OSError as error:
        raise StoreError(f"{directory} can't be used: {error.strerror or error}") from error
    if is_foreign:
        raise StoreError(f"{directory} is not empty, and no demo made it: choose another one")
    try:
        for pattern in _OWN:
            for path in directory.glob(pattern):
                path.unlink()
        (directory / "pings").mkdir(parents=True, exist_ok=True)
        (directory / MARKER).touch()
    except OSError as error:
        raise StoreError(f"{directory} can't be used: {error.strerror or error}") from error


def _play(monitor: Monitor, directory: Path, progress: Progress) -> _Played:
    """Deploy, and live through the three days."""
    from expmon.sandbox import Traffic, simulate

    recipes = _recipes()
    monitor.deploy()
    (directory / "recipes.json").write_text(json.dumps(recipes, indent=1), encoding="utf-8")
    monitor.ingest_recipes(directory / "recipes.json")
    traffic = Traffic(start=START, days=DAYS, clients=CLIENTS, seed=SEED)
    bar = progress.add_task("simulating clients", total=DAYS * 24)
    pings, files = _write_pings(
        simulate(_experiments(recipes), traffic), directory / "pings", traffic, progress, bar
    )
    moments = _schedule(traffic)
    bar = progress.add_task("playing three days", total=len(moments))
    for moment, cadence in moments:
        progress.update(bar, description=f"{moment:%a %H:%M} {cadence} run")
        for slice_end in [end for end in files if end <= moment]:
            monitor.ingest(files.pop(slice_end))
        monitor.run(cadence, moment)
        progress.advance(bar)
    progress.update(bar, description="played three days")
    slugs = tuple(recipe["slug"] for recipe in recipes)
    bar = progress.add_task("exporting", total=len(slugs))
    exported = monitor.export_active(traffic.closes, progress=lambda _: progress.advance(bar))
    return _Played(traffic.closes, slugs, pings, len(exported.written))


def _recipes() -> list[dict[str, Any]]:
    """The real recipes, as experiments of the application that has a source."""
    text = resources.files("expmon.sandbox").joinpath("recipes.json").read_text(encoding="utf-8")
    return [{**recipe, "appName": APPLICATION} for recipe in json.loads(text)]


def _experiments(recipes: Sequence[Mapping[str, Any]]) -> list[Experiment]:
    from expmon.sandbox import Experiment

    return [
        Experiment(
            slug=recipe["slug"],
            start=datetime.combine(date.fromisoformat(recipe["startDate"]), time(), UTC),
            end=None,
            branches=tuple((branch["slug"], branch["ratio"]) for branch in recipe["branches"]),
            is_rollout=recipe["isRollout"],
            share=share,
        )
        for recipe, share in zip(recipes, SHARES, strict=True)
    ]


def _schedule(traffic: Traffic) -> list[tuple[datetime, str]]:
    """When which run is due: daily and hourly in full, live once an hour and at last in full."""
    due = []
    hour = traffic.opens
    while hour < traffic.closes:
        hour += _HOUR
        due.append((hour, 2, "live"))
        due.append((hour - _HOUR + timedelta(minutes=30), 1, "hourly"))
        if hour.hour == 3:
            due.append((hour, 0, "daily"))
    moment = traffic.closes - _CLOSE_LOOK
    while moment < traffic.closes:
        due.append((moment, 2, "live"))
        moment += _TICK
    return [(moment, cadence) for moment, _, cadence in sorted(set(due))]


def _slice_end(moment: datetime, traffic: Traffic) -> datetime:
    """When the file that a ping of this moment goes into is complete."""
    width = _TICK if moment >= traffic.closes - _CLOSE_LOOK else timedelta(minutes=30)
    return moment - (moment - traffic.opens) % width + width


def _write_pings(
    pings: Iterator[Mapping[str, Any]],
    directory: Path,
    traffic: Traffic,
    progress: Progress,
    bar: TaskID,
) -> tuple[int, dict[datetime, Path]]:
    """The pings as files, each with what arrived until its time; how many pings there are."""
    files: dict[datetime, Path] = {}
    waiting: list[str] = []
    end: datetime | None = None
    count = 0

    def close() -> None:
        if end is not None:
            files[end] = directory / f"{end:%Y-%m-%dT%H%M}.json.gz"
            with gzip.open(files[end], "wt", encoding="utf-8", compresslevel=1) as file:
                file.writelines(waiting)
            waiting.clear()
            progress.update(bar, completed=(end - traffic.opens) // _HOUR)

    for ping in pings:
        moment = datetime.fromisoformat(ping["submission_timestamp"])
        if (own := _slice_end(moment, traffic)) != end:
            close()
            end = own
        waiting.append(json.dumps(ping, separators=(",", ":")) + "\n")
        count += 1
    close()
    progress.update(bar, completed=DAYS * 24)
    return count, files


def _summary(monitor: Monitor, played: _Played) -> Iterator[tuple[object, ...]]:
    """A row per experiment and branch: what the datasets say at the end."""
    for slug in played.slugs:
        enrolled = monitor.fetch_dataframe("experiment_enrollment_overall", slug)
        by_branch = enrolled.groupby("branch")["value"].sum()
        last = {
            name: monitor.fetch_dataframe(name, slug).groupby("branch")["value"].last()
            for name in (
                "experiment_enrollment_cumulative_population_estimate",
                "experiment_enrollment_daily_active_population",
                "experiment_cumulative_search_count",
            )
        }
        for branch, count in by_branch.items():
            values = (int(count), *(int(series.get(branch, 0)) for series in last.values()))
            if any(values):
                yield (slug, branch, *values)


COMMANDS = (demo,)
