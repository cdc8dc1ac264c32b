"""Monitoring without a pipeline: client pings and recipes to rows, and simulated traffic.

Files hold what clients send; ``ping_row`` and ``read_recipes`` do what ingestion does to it on its
way into the warehouse, and ``simulate`` makes up what clients might have sent.
"""

from __future__ import annotations

from expmon.sandbox.pings import (
    EVENT_PINGS,
    MAIN_PINGS,
    ReadPing,
    ping_cells,
    ping_row,
    read_documents,
)
from expmon.sandbox.recipes import read_recipes
from expmon.sandbox.rows import Rows
from expmon.sandbox.simulate import Experiment, Traffic, simulate

__all__ = [
    "EVENT_PINGS",
    "MAIN_PINGS",
    "Experiment",
    "ReadPing",
    "Rows",
    "Traffic",
    "ping_cells",
    "ping_row",
    "read_documents",
    "read_recipes",
    "simulate",
]
