"""What all checks say, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from expmon.health.checks import COMPARING
from expmon.health.evidence import discoveries
from expmon.health.finding import HealthFinding, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What the checks found at a moment.

    Attributes:
        as_of: the moment that they looked from.
        findings: one for each experiment and check; those about all experiments first.
        alpha: of so large a share of healthy experiments a comparison may ever raise a false alarm.
    """

    as_of: datetime
    findings: tuple[HealthFinding, ...]
    alpha: float

    @property
    def worst(self) -> Verdict:
        """The worst verdict; ``not applicable`` where nothing was looked at."""
        verdicts = (finding.verdict for finding in self.findings)
        return max(verdicts, key=lambda v: v.rank, default=Verdict.NOT_APPLICABLE)

    def of(self, slug: str) -> HealthReport:
        """What is said of one experiment, and of all together.

        Args:
            slug: of the experiment.
        """
        chosen = tuple(f for f in self.findings if f.experiment in {slug, ""})
        return HealthReport(self.as_of, chosen, self.alpha)

    def discoveries(self, rate: float) -> dict[str, set[str]]:
        """For each comparison of branches the experiments that stand out among all.

        Of those that are named, at most the share ``rate`` is named wrongly on average (e-BH).

        Args:
            rate: between 0 and 1.
        """
        return {
            check: discoveries(
                {
                    f.experiment: f.log_e
                    for f in self.findings
                    if f.check == check and f.log_e is not None
                },
                rate,
            )
            for check in COMPARING
        }

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it; times in ISO 8601, UTC."""
        return {
            "schema_version": SCHEMA_VERSION,
            "as_of": self.as_of.isoformat(),
            "worst": self.worst.value,
            "findings": [_record(finding) for finding in self.findings],
        }

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each finding.

        Returns:
            ``experiment, check, branch, verdict, sentence, action`` (text), ``since, onset`` (UTC,
            NaT where there is none), ``value, expected, low, high, log_e`` (floats, NaN as above).
        """
        import pandas as pd

        texts = ["experiment", "check", "branch", "verdict", "sentence", "action"]
        times = ["since", "onset"]
        numbers = ["value", "expected", "low", "high", "log_e"]
        records = [
            {name: getattr(finding, name) for name in (*texts, *times, *numbers)}
            for finding in self.findings
        ]
        frame = pd.DataFrame.from_records(records, columns=[*texts, *times, *numbers])
        types = {
            **dict.fromkeys(texts, "str"),
            **dict.fromkeys(times, "datetime64[us, UTC]"),
            **dict.fromkeys(numbers, "float64"),
        }
        return frame.astype(types)


def _record(finding: HealthFinding) -> dict[str, Any]:
    record = asdict(finding)
    for name in ("since", "onset"):
        moment = record[name]
        record[name] = None if moment is None else moment.isoformat()
    return record
