"""If all experiments drop together it is none of them: that is said once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from expmon.health.finding import HealthFinding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from expmon.health.observed import Observed

FEWEST = 3
"""So many experiments must be there to speak of all of them."""
MOST = 0.8
"""If so large a share of them drops, it is not theirs."""
_CHECKS = ("enrollment", "leaving")


def told_once(
    findings: Sequence[HealthFinding], looked_at: Sequence[Observed]
) -> list[HealthFinding]:
    """The findings, with what befalls all experiments, or those of an application, said once.

    What is late comes first, as it explains the most.
    """
    found = list(findings)
    common: list[HealthFinding] = []
    feed = looked_at[0].feed if looked_at else None
    if feed is not None and feed.problem:
        common.append(
            HealthFinding(
                "",
                "freshness",
                Verdict.ALARM,
                f"The data of all experiments is late: {feed.problem}.",
                "See `expmon status`; until then a quiet experiment may be none.",
            )
        )
    apps = {o.experiment.slug: o.experiment.app_name or "" for o in looked_at}
    for check in _CHECKS:
        for members, whose in _groups(apps):
            told = _dropped(found, check, members)
            if not told:
                continue
            common.append(_said_of_all(check, whose, told))
            found = [
                replace(
                    f,
                    verdict=Verdict.NOT_ENOUGH_DATA,
                    sentence=f"As {whose} at the same time: {f.sentence}",
                    action="",
                )
                if f in told
                else f
                for f in found
            ]
    return [*common, *found]


def _groups(apps: dict[str, str]) -> Iterable[tuple[set[str], str]]:
    """All experiments, and those of each application."""
    yield set(apps), "all experiments"
    for app in sorted(set(apps.values()) - {""}):
        yield {slug for slug, own in apps.items() if own == app}, f"all experiments of {app}"


def _dropped(
    findings: Iterable[HealthFinding], check: str, members: set[str]
) -> list[HealthFinding]:
    """Those that are bad, if they are nearly all that can be judged."""
    judged = [
        f
        for f in findings
        if f.check == check
        and f.experiment in members
        and f.verdict in {Verdict.OK, Verdict.SUSPECT, Verdict.ALARM}
        and f.expected is not None
    ]
    bad = [f for f in judged if f.verdict.is_bad]
    return bad if len(bad) >= FEWEST and len(bad) >= MOST * len(judged) else []


def _said_of_all(check: str, whose: str, told: Sequence[HealthFinding]) -> HealthFinding:
    value = sum(f.value or 0 for f in told)
    expected = sum(f.expected or 0 for f in told)
    if check == "enrollment":
        what = f"{value:,.0f} clients enrolled lately, where some {expected:,.0f} are usual"
    else:
        what = f"{value:,.0f} clients left lately, where some {expected:,.0f} are usual"
    return HealthFinding(
        "",
        check,
        max((f.verdict for f in told), key=lambda verdict: verdict.rank),
        f"In {len(told)} experiments together, {whose} that can be judged or nearly so, {what}: "
        "that is the pipeline or the application, not one of them.",
        "See whether pings still arrive (`expmon status`), and whether a release went out.",
        value=value,
        expected=expected,
    )
