from __future__ import annotations

import pytest

from expmon.catalog import DATASETS, EXPORTED, FETCHABLE, RELATIONS, dataset, resolve
from expmon.catalog.model import Cadence, Kind, Rollup
from expmon.errors import UnknownDataset


def test_every_relation_comes_after_its_inputs():
    seen: set[str] = set()
    for relation in RELATIONS.values():
        assert set(relation.inputs) <= seen, relation.name
        seen.add(relation.name)
    assert len(seen) == 47


def test_the_eight_datasets_have_one_schema_and_a_rollup():
    assert len(EXPORTED) == 8
    for entry in EXPORTED:
        assert [(c.name, c.type) for c in entry.table.columns] == [
            ("time", "TIMESTAMP"),
            ("branch", "STRING"),
            ("experiment", "STRING"),
            ("value", "INT64"),
        ]
        assert entry.rollup is (Rollup.LAST if "cumulative" in entry.name else Rollup.SUM)


def test_tables_are_written_by_the_cadence_of_the_design():
    written = {c: [r.table for r in RELATIONS.values() if r.cadence is c] for c in Cadence}
    assert set(written[Cadence.DAILY]) == {
        "experiment_enrollment_aggregates_v1",
        "experiment_search_aggregates_v1",
        "experiments_daily_active_clients_v1",
    }
    assert set(written[Cadence.HOURLY]) == {
        "experiment_enrollment_aggregates_hourly_v1",
        "experiment_search_aggregates_hourly_v1",
    }
    assert set(written[Cadence.LIVE]) == {
        "experiment_enrollment_aggregates_recents_v1",
        "experiment_search_aggregates_recents_v1",
        "experiment_enrollment_aggregates_by_hour_v1",
        "experiment_search_aggregates_by_hour_v1",
        *(f"{name}_v1" for name in DATASETS),
        "experiment_ratios_v1",
        "experiment_totals_v1",
        "experiment_health_v1",
    }


def test_every_column_of_the_tables_people_read_is_described():
    for relation in RELATIONS.values():
        if relation.kind is not Kind.SOURCE:
            assert relation.description, relation.name
    for relation in FETCHABLE.values():
        assert all(column.description for column in relation.columns), relation.name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("experiment_enrollment_overall", "telemetry_derived.experiment_enrollment_overall_v1"),
        ("telemetry.experiment_enrollment_overall", "telemetry.experiment_enrollment_overall"),
        ("events_live", "telemetry_derived.events_live"),
        (
            "experiment_enrollment_aggregates_live",
            "telemetry_derived.experiment_enrollment_aggregates_live",
        ),
    ],
)
def test_names_resolve_to_what_is_computed(name, found):
    assert resolve(name).name == found


def test_an_unknown_name_lists_the_near_ones():
    with pytest.raises(UnknownDataset, match="experiment_enrollment_overall") as caught:
        resolve("experiment_enrolment_overall")
    assert "experiment_enrollment_overall" in caught.value.near
    with pytest.raises(UnknownDataset, match="experiment_cumulative_ad_clicks"):
        dataset("cumulative_ad_clicks")
