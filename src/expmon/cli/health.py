"""The health of experiments: for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from expmon.cli.common import Options, as_of, in_one_line, print_frame, printable

if TYPE_CHECKING:
    from datetime import datetime

    from expmon.health.report import HealthReport

STATUSES = {"suspect": 3, "alarm": 4}
_MEANING = "The exit status is 4 if there is an alarm, 3 if something is suspect, and 0 otherwise."


@click.command(epilog=_MEANING)
@click.argument("slug", required=False)
@click.option("--active", is_flag=True, help="Look at all active experiments.")
@as_of
@click.option("--all", "everything", is_flag=True, help="Print also what is as it should be.")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Name the experiments whose branches stand out among all, of which at most this share is "
    "named wrongly.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="How to print it; json and csv have everything.",
)
@click.pass_obj
@click.pass_context
def health(
    context: click.Context,
    options: Options,
    slug: str | None,
    active: bool,  # noqa: FBT001 - click gives it by name
    as_of: datetime | None,
    everything: bool,  # noqa: FBT001 - as above
    rate: float | None,
    form: str,
) -> None:
    """Say what is wrong with an experiment, or with all active ones.

    Whether clients enroll, divide as planned, leave or fail more than they should, and whether the
    data is merely late. Give a SLUG or --active.
    """
    if (slug is None) is not active:
        raise click.UsageError("give either the slug of an experiment or --active")
    if rate is not None and (slug is not None or form != "text"):
        raise click.UsageError("--rate goes with --active and --format text")
    with options.monitor() as monitor:
        report = monitor.health_active(as_of) if slug is None else monitor.health(slug, as_of)
    if form == "json":
        click.echo(json.dumps(report.to_dict(), indent=2))
    elif form == "csv":
        print_frame(report.to_dataframe(), "csv")
    else:
        click.echo(printable(_text(report, everything=everything or slug is not None)), nl=False)
    if rate is not None:
        click.echo(printable(_outstanding(report, rate)), nl=False)
    context.exit(STATUSES.get(report.worst, 0))


def _text(report: HealthReport, *, everything: bool) -> str:
    """What is wrong, experiment by experiment, the worst first within each."""
    chosen = [f for f in report.findings if everything or f.verdict.is_bad]
    looked_at = len({f.experiment for f in report.findings} - {""})
    lines = [f"Health of {looked_at} experiments, as of {report.as_of:%Y-%m-%d %H:%M} UTC"]
    if looked_at == 1:
        lines = [f"Health as of {report.as_of:%Y-%m-%d %H:%M} UTC"]
    for slug in dict.fromkeys(f.experiment for f in chosen):
        lines += ["", in_one_line(slug) if slug else "all experiments"]
        own = [f for f in chosen if f.experiment == slug]
        for finding in sorted(own, key=lambda f: -f.verdict.rank):
            lines.append(
                f"  {finding.verdict:<15}  {finding.check}: {in_one_line(finding.sentence)}"
            )
            if finding.verdict.is_bad:
                lines.append(f"{'':19}{in_one_line(finding.action)}")
                lines.append(f"{'':19}Since {finding.since:%Y-%m-%d %H:%M} UTC.")
    if not chosen:
        lines += [
            "",
            "Nothing is wrong, as far as can be told." if looked_at else "None is active.",
        ]
    return "\n".join(lines) + "\n"


def _outstanding(report: HealthReport, rate: float) -> str:
    lines = [f"\nStanding out among all, at most {100 * rate:g} % of them wrongly:"]
    for check, slugs in report.discoveries(rate).items():
        lines.append(f"  {check}: {', '.join(map(in_one_line, sorted(slugs))) or 'none'}")
    return "\n".join(lines) + "\n"


COMMANDS = (health,)
