"""Draw the pictures of docs/calibration.md anew: some seconds of simulated experiments.

.venv/bin/python scripts/draw_calibration.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from expmon.health.calibrate import Rule, calibrate, log_evidences
from expmon.health.simulation import Comparison, Effect, Traffic, simulate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOCS = Path(__file__).parents[1] / "docs"
COLOURS = ("#0072B2", "#D55E00", "#009E73")
INK = "0.15"
EVEN = Traffic((50, 50))


def evidence() -> Figure:
    """How the e-value grows with the clients, for three true splits."""
    figure, axes = panel("e-value against 50:50", "clients enrolled")
    for colour, split in zip(COLOURS, ("50:50", "52:48", "56:44"), strict=True):
        simulated = simulate(EVEN, Effect.parse(split, EVEN), 400, np.random.default_rng(1))
        hourly = slice(11, None, 12)
        e_values = np.exp(log_evidences(simulated, EVEN.shares).clip(max=100))[:, hourly]
        clients = np.arange(1, EVEN.windows + 1)[hourly] * EVEN.clients_per_window
        low, middle, high = np.quantile(e_values, (0.1, 0.5, 0.9), axis=0)
        axes.fill_between(clients, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(clients, middle, color=colour, label=split)
    axes.axhline(1000, color=INK, linestyle="--", linewidth=1)
    axes.annotate("alarm at 1/alpha = 1,000", (19_900, 1_000), ha="right", va="bottom", color=INK)
    axes.set(yscale="log", ylim=(1e-3, 1e9), xlim=(0, 20_000))
    axes.legend(title="true split", loc="upper center")
    return figure


def false_alarms() -> Figure:
    """How many healthy experiments have had an alarm, by rule."""
    figure, axes = panel("healthy experiments with an alarm so far", "clients enrolled")
    runs = 2_000
    labels = {
        Rule.CHI_SQUARE: "chi-square p < 0.001, each window",
        Rule.EVIDENCE: "e-value ≥ 1,000, each window",
        Rule.FIVE_POINTS: "the same and 5 points off, once a day",
    }
    found = {
        outcome.rule: outcome
        for outcome in calibrate(EVEN, runs=runs)
        if outcome.comparison is Comparison.SPLIT
    }
    last = EVEN.windows * EVEN.clients_per_window
    for colour, style, (rule, label) in zip(COLOURS, ("-", "-", ":"), labels.items(), strict=True):
        first = sorted(clients for clients in found[rule].clients if clients is not None)
        shares = [100 * n / runs for n in range(len(first) + 1)]
        axes.step(
            [0, *first, last],
            [*shares, shares[-1]],
            where="post",
            color=colour,
            linestyle=style,
            label=label,
        )
    axes.axhline(0.1, color=INK, linestyle="--", linewidth=1, label="what 0.001 promises")
    axes.set(xlim=(0, last), ylim=(-0.1, None))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g} %"))
    axes.legend(loc="center right")
    return figure


def panel(title: str, below: str) -> tuple[Figure, Axes]:
    """An empty picture: dark on white, as it is to be seen on a dark page, too."""
    figure = Figure(figsize=(8, 4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlabel(below, color=INK)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "expmon"  # the same picture is the same file
    for name, draw in (("evidence", evidence), ("false-alarms", false_alarms)):
        path = DOCS / f"calibration-{name}.svg"
        draw().savefig(path, metadata={"Date": None})
        print(path)
