"""The command that simulates experiments, so that a threshold is chosen from figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from expmon.cli.common import console, counted, table_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expmon.health.calibrate import Outcome, Rule

_NEVER = "not found"


@click.command()
@click.option(
    "--ratios",
    default="50:50",
    show_default=True,
    metavar="N:N[:N…]",
    help="The planned ratios of the branches, like 19:1 or 1:1:1.",
)
@click.option(
    "--clients-per-window",
    type=float,
    default=20,
    show_default=True,
    metavar="CLIENTS",
    help="How many enroll in five minutes, on average.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 365),
    default=14,
    show_default=True,
    help="How long each experiment is watched.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 1_000_000),
    default=500,
    show_default=True,
    help="How many experiments of each kind are simulated.",
)
@click.option(
    "--effect",
    "effects",
    multiple=True,
    metavar="EFFECT",
    help="Something wrong that is to be found: the true ratios, like 52:48, or how many times as "
    "often the last branch's clients leave, like unenrollment=1.5; may be given several times.",
)
@click.option(
    "--leaving",
    type=float,
    default=1,
    show_default=True,
    metavar="PERCENT",
    help="How many of the present clients leave in a day.",
)
@click.option(
    "--alpha",
    type=float,
    default=0.001,
    show_default=True,
    help="The e-value raises an alarm at 1/alpha: at most this share of healthy experiments ever "
    "has one.",
)
@click.option(
    "--concentration",
    type=float,
    default=100,
    show_default=True,
    metavar="CLIENTS",
    help="How close to the planned split are the ones that the e-value looks for: large for small "
    "deviations, small for large ones.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="The same one gives the same figures.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print it; json is an object a line.",
)
def calibrate(
    ratios: str,
    clients_per_window: float,
    days: int,
    runs: int,
    effects: tuple[str, ...],
    leaving: float,
    alpha: float,
    concentration: float,
    seed: int,
    form: str,
) -> None:
    """Simulate experiments: what the checks of split and unenrollment find, and what for nothing.

    Healthy experiments give the false alarms, those with an --effect the clients that it takes to
    find it. Three rules stand side by side: the e-value, looked at every five minutes; a chi-square
    test at p < .001, looked at every five minutes; and the same test once a day, of shares that are
    off by five percentage points or more. It needs no warehouse.

    For instance: expmon calibrate --effect 52:48 --effect unenrollment=1.5
    """
    from rich.progress import Progress

    from expmon.health.calibrate import calibrate as run
    from expmon.health.simulation import Traffic, parse_ratios

    traffic = Traffic(parse_ratios(ratios), clients_per_window, days, leaving / 100)
    printer = console(error=True)
    with Progress(console=printer, transient=True, disable=not printer.is_terminal) as progress:
        bar = progress.add_task("simulating experiments", total=runs * (2 + len(effects)))
        outcomes = run(
            traffic,
            effects,
            runs=runs,
            alpha=alpha,
            concentration=concentration,
            seed=seed,
            progress=lambda more: progress.advance(bar, more),
        )
    if form == "json":
        click.echo("".join(f"{json.dumps(_record(outcome))}\n" for outcome in outcomes), nl=False)
        return
    title = (
        f"{counted(runs, 'healthy experiment')} of {counted(days, 'day')} at {ratios}, "
        f"{clients_per_window:g} clients per window, {leaving:g} % leave in a day"
    )
    click.echo(_false_alarms(outcomes, title, alpha), nl=False)
    if effects:
        title = f"{counted(runs, 'experiment')} of each kind with something wrong"
        click.echo(_power(outcomes, title, alpha), nl=False)


def _false_alarms(outcomes: Sequence[Outcome], title: str, alpha: float) -> str:
    columns = (
        "compared",
        "alarm at",
        "looked at",
        "with an alarm",
        "of all",
        "alarms per experiment-month",
    )
    rows = [
        (
            outcome.comparison,
            *_rule(outcome.rule, alpha),
            outcome.found,
            _percent(outcome.share_found),
            f"{outcome.alarms_per_month:.4f}",
        )
        for outcome in outcomes
        if not outcome.effect
    ]
    return table_text(columns, rows, title=title)


def _power(outcomes: Sequence[Outcome], title: str, alpha: float) -> str:
    columns = (
        "effect",
        "compared",
        "alarm at",
        "looked at",
        "found in",
        "clients, median",
        "clients, 90 %",
        "unenrollments, median",
    )
    rows = [
        (
            record["effect"],
            outcome.comparison,
            *_rule(outcome.rule, alpha),
            _percent(outcome.share_found),
            *(
                _NEVER if record[name] is None else f"{record[name]:,}"
                for name in ("clients_median", "clients_90_percent")
            ),
            "" if (left := record["unenrollments_median"]) is None else f"{left:,}",
        )
        for outcome in outcomes
        if outcome.effect
        for record in (_record(outcome),)
    ]
    return table_text(columns, rows, title=title)


def _rule(rule: Rule, alpha: float) -> tuple[str, str]:
    """When it raises an alarm, and how often one looks."""
    from expmon.health.calibrate import CHI_SQUARE_P, POINTS_OFF, Rule

    chi_square = f"chi-square p < {CHI_SQUARE_P}"
    return {
        Rule.EVIDENCE: (f"e-value ≥ {1 / alpha:,.6g}", "each window"),
        Rule.CHI_SQUARE: (chi_square, "each window"),
        Rule.FIVE_POINTS: (f"{chi_square} and {POINTS_OFF * 100:g} points off", "once a day"),
    }[rule]


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _record(outcome: Outcome) -> dict[str, object]:
    from expmon.health.calibrate import quantile
    from expmon.health.simulation import Comparison

    left = outcome.events if outcome.comparison is Comparison.UNENROLLMENT else ()
    return {
        "effect": outcome.effect or None,
        "compared": outcome.comparison,
        "rule": outcome.rule,
        "experiments": len(outcome.clients),
        "days": outcome.days,
        "with_alarm": outcome.found,
        "alarms": outcome.alarms,
        "alarms_per_month": outcome.alarms_per_month,
        "clients_median": quantile(outcome.clients, 0.5),
        "clients_90_percent": quantile(outcome.clients, 0.9),
        "unenrollments_median": quantile(left, 0.5) if left else None,
    }


COMMANDS = (calibrate,)
