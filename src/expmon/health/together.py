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
_HAPPENED = {
    "enrollment": ("Fewer clients enroll", "enrolled"),
    "leaving": ("More clients leave", "left"),
}
"""What befalls all of them, by the check that finds it."""


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
                "See `expmon status`; until it is mended, one that looks quiet may not be so.",
            )
        )
    apps = {o.experiment.slug: o.experiment.app_name or "" for o in looked_at}
    for check in _HAPPENED:
        for members, whose in _groups(apps):
            told = _dropped(found, check, members)
            if not told:
                continue
            common.append(_said_of_all(check, whose, told))
            found = [
                replace(
                    f,
                    verdict=Verdict.NOT_ENOUGH_DATA,
                    sentence=f"{f.sentence} So it is with {whose} at the same time.",
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
    happened, done = _HAPPENED[check]
    who = f"{value:,.0f} client{'' if value == 1 else 's'}" if value else "nobody"
    return HealthFinding(
        "",
        check,
        max((f.verdict for f in told), key=lambda verdict: verdict.rank),
        f"{happened} in {whose} that can be judged, or nearly all: in {len(told)} of them "
        f"{who} {done} in the last hours, where some {expected:,.0f} would be usual. That comes "
        "from the pipeline or the application, not from one experiment.",
        "See whether pings still arrive (`expmon status`), and whether a release went out.",
        value=value,
        expected=expected,
    )
