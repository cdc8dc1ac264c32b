"""Every statement that expmon can run on BigQuery, by name; as a script, writes the snapshots."""

from __future__ import annotations

from pathlib import Path

from expmon import api
from expmon.catalog import EXPORTED, FETCHABLE
from expmon.catalog.model import Names
from expmon.statements import document, grafana, health, reading
from statement_variants import alerting, charted, drifting, kept

SNAPSHOTS = Path(__file__).parent / "snapshots"


def statements() -> dict[str, str]:
    """The statements that `expmon sql` prints, those that only read, and what Grafana is given."""
    names = Names()
    found = api.statements()
    filters = (reading.BRANCH, reading.START, reading.END)
    for name, view in FETCHABLE.items():
        found[f"fetch.{name}"] = document(reading.fetch(view, names, filters))
    found["export_metadata.named"] = document(reading.export_metadata(names, is_named=True))
    found["plot_metadata"] = document(reading.plot_metadata(names))
    for name, statement in kept(names).items():
        found[f"bookkeeping.{name}"] = document(statement)
    found |= {name: document(statement) for name, statement in drifting(names).items()}
    found |= {name: document(statement) for name, statement in alerting(names).items()}
    found["health_metadata.named"] = document(health.metadata(names, is_named=True))
    found |= {
        name: grafana.in_grafana(statement) + "\n" for name, statement in charted(names).items()
    }
    found["first_time"] = document(reading.first_time(names, EXPORTED))
    return found


if __name__ == "__main__":
    for path in SNAPSHOTS.glob("*.sql"):
        path.unlink()
    for name, text in statements().items():
        (SNAPSHOTS / f"{name}.sql").write_text(text, encoding="utf-8")
