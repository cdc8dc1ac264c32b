from __future__ import annotations

import itertools
import re

import pytest
import sqlglot
from click.testing import CliRunner
from sqlglot import exp

from expmon.catalog import EXPORTED, FETCHABLE, RELATIONS, TIERS
from expmon.catalog.model import Kind, Names
from expmon.cli import main
from expmon.errors import InvalidInput, UnsupportedSQL
from expmon.statements import (
    create_view,
    document,
    materialization,
    reading,
    render,
    statement,
    statements,
    view,
)
from statement_variants import alerting, judging

NAMES = Names()
COMPUTED = statements(NAMES)
FILTERS = (reading.BRANCH, reading.START, reading.END)
READ = {
    **{f"{tiers.name} drift": reading.drift(tiers, NAMES) for tiers in TIERS},
    "active_experiments": reading.active_experiments(NAMES),
    "export_metadata": reading.export_metadata(NAMES, is_named=False),
    "export_metadata of named ones": reading.export_metadata(NAMES, is_named=True),
    "plot_metadata": reading.plot_metadata(NAMES),
    "export_series": reading.export_series(NAMES, EXPORTED),
    "export_series of one": reading.export_series(NAMES, EXPORTED[:1]),
    "first_time": reading.first_time(NAMES, EXPORTED),
    **judging(NAMES),
    **alerting(NAMES),
    **{f"all of {n}": reading.fetch(r, NAMES, ()) for n, r in FETCHABLE.items()},
    **{f"some of {n}": reading.fetch(r, NAMES, FILTERS) for n, r in FETCHABLE.items()},
}
EVERY = {**COMPUTED, **READ}
WRITTEN = [n for n in COMPUTED if RELATIONS[n].kind is Kind.TABLE]

TYPES = {
    "day": "DATE",
    "latest_window": "TIMESTAMP",
    "start": "TIMESTAMP",
    "end": "TIMESTAMP",
    "since": "TIMESTAMP",
    "slug": "STRING",
    "branch": "STRING",
    "today": "DATE",
    "slugs": "ARRAY<STRING>",
    "experiments": "ARRAY<STRUCT<slug STRING, start TIMESTAMP>>",
    "earliest_start": "TIMESTAMP",
    "as_of": "TIMESTAMP",
    "days": "ARRAY<DATE>",
    "time": "TIMESTAMP",
    "phases": (
        "ARRAY<STRUCT<slug STRING, number INT64, start TIMESTAMP, finish TIMESTAMP, branch STRING>>"
    ),
    "counted": (
        "ARRAY<STRUCT<experiment STRING, start TIMESTAMP, finish TIMESTAMP, branch STRING, "
        "is_planned BOOL, enroll_count INT64, unenroll_count INT64, graduate_count INT64, "
        "update_count INT64, enroll_failed_count INT64, unenroll_failed_count INT64, "
        "update_failed_count INT64, validation_failed_count INT64, compared INT64, "
        "expected INT64, log_null INT64>>"
    ),
    "seen": (
        "ARRAY<STRUCT<experiment STRING, seen_at TIMESTAMP, last_seen_at TIMESTAMP, "
        "branch STRING, ratio INT64>>"
    ),
    "found": (
        "ARRAY<STRUCT<experiment STRING, check_name STRING, branch STRING, verdict STRING, "
        "since TIMESTAMP, log_e FLOAT64, value FLOAT64, expected FLOAT64, sentence STRING, "
        "action STRING>>"
    ),
    "opened": "ARRAY<STRUCT<experiment STRING, check_name STRING>>",
    "oldest": "TIMESTAMP",
    "changed": (
        "ARRAY<STRUCT<id STRING, kind STRING, experiment STRING, check_name STRING, "
        "branch STRING, time TIMESTAMP, since TIMESTAMP, sentence STRING, action STRING, "
        "claimed_until TIMESTAMP, delivered_at TIMESTAMP>>"
    ),
}
HEALTH = "telemetry_derived.experiment_health_v1"
RATIOS = "telemetry_derived.experiment_ratios_v1"
TOTALS = "telemetry_derived.experiment_totals_v1"
PARAMETERS = {RATIOS, TOTALS}
"""What has its rows from a parameter."""
RAW = {
    "telemetry_live.event_v4": "submission_timestamp",
    "telemetry_live.main_v4": "submission_timestamp",
    "telemetry_stable.main_v4": "submission_timestamp",
    "telemetry_derived.event_events_v1": "submission_date",
    "telemetry_derived.main_events_v1": "submission_date",
    "telemetry.clients_daily": "submission_date",
    "telemetry_derived.events_live": "timestamp",
}
OWN = {
    "telemetry_derived.experiment_enrollment_aggregates_v1": "window_start",
    "telemetry_derived.experiment_enrollment_aggregates_hourly_v1": "window_start",
    "telemetry_derived.experiment_search_aggregates_v1": "window_start",
    "telemetry_derived.experiment_search_aggregates_hourly_v1": "window_start",
    "telemetry_derived.experiment_enrollment_aggregates_by_hour_v1": "hour",
    "telemetry_derived.experiment_search_aggregates_by_hour_v1": "hour",
    "telemetry_derived.experiments_daily_active_clients_v1": "submission_date",
    "telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1": "time",
    "telemetry_derived.experiment_cumulative_ad_clicks_v1": "time",
    "telemetry_derived.experiment_cumulative_search_count_v1": "time",
    "telemetry_derived.experiment_cumulative_search_with_ads_count_v1": "time",
    HEALTH: "time",
    TOTALS: "day",
}
GENERATED = re.compile(r"\b_(?:[a-z]+_?)?\d+\b", re.IGNORECASE)
LOWER, UPPER = (exp.GTE, exp.GT), (exp.LT, exp.LTE)


def text_of(name):
    return render(EVERY[name].tree, name=name)


def parsed(name):
    return sqlglot.parse_one(text_of(name), dialect="bigquery")


def query_of(name):
    tree = parsed(name)
    return tree.expression if isinstance(tree, exp.Create) else tree


def tables_of(tree):
    steps = {cte.alias for cte in tree.find_all(exp.CTE)}
    return [t for t in tree.find_all(exp.Table) if t.db or t.name not in steps]


def reads(tree):
    """Each table with the conditions of the SELECT that it stands in."""
    for select in tree.find_all(exp.Select):
        source = select.args.get("from_") or select.args.get("from")
        if source is not None and isinstance(source.this, exp.Table) and source.this.db:
            where = select.args.get("where")
            conditions = [] if where is None else list(where.this.flatten())
            if where is not None and not isinstance(where.this, exp.And):
                conditions = [where.this]
            yield f"{source.this.db}.{source.this.name}", conditions


def bounds(conditions, column):
    """The kinds of comparisons of the bare column with something that has no column."""
    return [
        type(condition)
        for condition in conditions
        if isinstance(condition, (exp.EQ, *LOWER, *UPPER))
        and isinstance(condition.this, exp.Column)
        and condition.this.name == column
        and condition.expression.find(exp.Column) is None
    ]


def is_bounded(kinds):
    return exp.EQ in kinds or (
        any(kind in LOWER for kind in kinds) and any(kind in UPPER for kind in kinds)
    )


def test_every_table_of_a_schedule_and_every_view_has_a_statement_after_its_inputs():
    wanted = [n for n, r in RELATIONS.items() if r.kind is Kind.VIEW or r.cadence is not None]
    assert list(COMPUTED) == wanted
    assert len(wanted) == 36


@pytest.mark.parametrize("name", EVERY)
def test_a_statement_parses_back_to_the_same_text(name):
    assert render(parsed(name), name=name) == text_of(name)


@pytest.mark.parametrize("name", EVERY)
def test_our_way_of_writing_means_what_sqlglots_own_does(name):
    plain = EVERY[name].tree.sql(dialect="bigquery")
    assert parsed(name) == sqlglot.parse_one(plain, dialect="bigquery")


@pytest.mark.parametrize("name", EVERY)
def test_a_statement_declares_exactly_the_parameters_that_it_uses(name):
    used = {parameter.name for parameter in parsed(name).find_all(exp.Parameter)}
    declared = [parameter.name for parameter in EVERY[name].parameters]
    assert sorted(declared) == sorted(used)


@pytest.mark.parametrize("name", EVERY)
def test_parameters_stand_above_the_statement_with_their_types(name):
    lines = document(EVERY[name]).splitlines()
    header = list(itertools.takewhile(lambda line: line.startswith("--"), lines))
    used = set(re.findall(r"@(\w+)", "\n".join(lines[len(header) :])))
    assert header[0] == f"-- {EVERY[name].name}"
    assert sorted(header[1:]) == sorted(f"-- @{one} {TYPES[one]}" for one in used)


@pytest.mark.parametrize("name", EVERY)
def test_columns_are_named_one_by_one(name):
    assert parsed(name).find(exp.Star) is None


@pytest.mark.parametrize("name", EVERY)
def test_every_alias_is_one_that_a_person_chose(name):
    assert GENERATED.findall(text_of(name)) == []


@pytest.mark.parametrize("alias", ["_t0", "_u_0", "_q_1", "_0", "_col_0"])
def test_generated_aliases_would_be_found(alias):
    assert GENERATED.findall(f"SELECT {alias}.a FROM x AS {alias}") == [alias, alias]


@pytest.mark.parametrize("name", COMPUTED)
def test_the_outermost_columns_are_the_catalogues_in_its_order(name):
    assert query_of(name).named_selects == [column.name for column in RELATIONS[name].columns]


@pytest.mark.parametrize("name", FETCHABLE)
def test_a_fetch_gives_the_views_columns_in_its_order(name):
    columns = [column.name for column in FETCHABLE[name].columns]
    assert query_of(f"all of {name}").named_selects == columns
    assert query_of(f"some of {name}").named_selects == columns


@pytest.mark.parametrize("name", EVERY)
def test_the_parts_of_a_union_have_the_same_columns_in_the_same_order(name):
    for union in parsed(name).find_all(exp.Union):
        assert union.left.named_selects == union.right.named_selects


def test_there_are_unions_whose_parts_could_differ():
    found = {n for n in EVERY if parsed(n).find(exp.Union)}
    assert "telemetry_derived.experiment_enrollment_aggregates_live" in found
    assert "export_series" in found


@pytest.mark.parametrize("name", EVERY)
def test_every_table_is_named_with_project_and_dataset(name):
    found = {(table.catalog, table.db) for table in tables_of(parsed(name))}
    assert found <= {
        ("moz-fx-data-shared-prod", "telemetry_live"),
        ("moz-fx-data-shared-prod", "telemetry_stable"),
        ("moz-fx-data-shared-prod", "telemetry_derived"),
        ("moz-fx-data-shared-prod", "telemetry"),
        ("mozdata", "telemetry"),
        ("moz-fx-data-experiments", "monitoring"),
    }
    assert found or name in PARAMETERS


@pytest.mark.parametrize("name", sorted({*COMPUTED} - {HEALTH} - PARAMETERS))
def test_a_statement_reads_its_declared_inputs_and_nothing_else_but_itself(name):
    read = {f"{table.db}.{table.name}" for table in tables_of(query_of(name))}
    own = {name} if "cumulative" in name and RELATIONS[name].kind is Kind.TABLE else set()
    assert read == {*RELATIONS[name].inputs, *own}


def test_what_the_health_checks_read_are_the_inputs_of_their_table_and_the_metadata():
    read = {table for name in judging(NAMES) for table, _ in reads(parsed(name))}
    metadata = "monitoring.experimenter_experiments_v1"
    assert read == {*RELATIONS[HEALTH].inputs, HEALTH, metadata}


@pytest.mark.parametrize("name", WRITTEN)
def test_raw_tables_are_bounded_by_their_bare_partition_column(name):
    for table, conditions in reads(parsed(name)):
        if table in RAW:
            assert is_bounded(bounds(conditions, RAW[table])), table


@pytest.mark.parametrize("name", WRITTEN)
def test_predicates_on_raw_tables_have_no_subquery(name):
    for table, conditions in reads(parsed(name)):
        if table in RAW:
            assert all(condition.find(exp.Query) is None for condition in conditions), table


@pytest.mark.parametrize("name", [*WRITTEN, *judging(NAMES), *alerting(NAMES)])
def test_no_statement_reads_the_whole_history_of_our_own_tables(name):
    for table, conditions in reads(parsed(name)):
        if table in OWN:
            assert is_bounded(bounds(conditions, OWN[table])), table


def test_the_two_checks_above_look_at_every_raw_table_and_at_every_statement():
    seen = {name: [table for table, _ in reads(parsed(name))] for name in WRITTEN}
    assert {name for name, tables in seen.items() if not tables} == PARAMETERS
    assert set(itertools.chain.from_iterable(seen.values())) >= {
        *(table for table in OWN if table != TOTALS),  # which the checks read
        *(table for table in RAW if table != "telemetry_live.event_v4"),
    }


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("day = @day", True),
        ("day >= @start AND day < @end", True),
        ("day >= TIMESTAMP(@day) AND day < @end AND x = 1", True),
        ("day >= @start", False),
        ("DATE(day) = @day", False),
        ("TIMESTAMP_TRUNC(day, HOUR) >= @start AND day < @end", False),
        ("day = other", False),
        ("day >= @start OR day < @end", False),
    ],
)
def test_a_bound_is_a_bare_column_against_a_constant(condition, answer):
    tree = sqlglot.parse_one(f"SELECT x FROM raw.pings WHERE {condition}", dialect="bigquery")
    ((_, conditions),) = reads(tree)
    assert is_bounded(bounds(conditions, "day")) is answer


def test_the_view_of_live_events_hands_on_the_bare_partition_column():
    columns = dict(
        zip(
            query_of("telemetry_derived.events_live").named_selects,
            query_of("telemetry_derived.events_live").selects,
            strict=True,
        )
    )
    assert columns["timestamp"].sql() == "submission_timestamp AS timestamp"


@pytest.mark.parametrize("name", ["export_series", "export_series of one"])
def test_the_export_reads_no_more_than_the_earliest_start_asks_for(name):
    found = list(reads(parsed(name)))
    assert {table for table, _ in found} == {
        entry.table.name for entry in (EXPORTED if name == "export_series" else EXPORTED[:1])
    }
    for table, conditions in found:
        assert bounds(conditions, "time") == [exp.GTE, exp.LT], table


@pytest.mark.parametrize("name", [n for n, r in RELATIONS.items() if r.kind is Kind.VIEW])
def test_a_view_is_created_with_its_description_over_its_query(name):
    tree = sqlglot.parse_one(text_of(name), dialect="bigquery")
    assert isinstance(tree, exp.Create)
    assert tree.kind == "VIEW"
    assert tree.args["replace"]
    assert f"description='{RELATIONS[name].description}'" in text_of(name)
    query = render(view(RELATIONS[name], NAMES).tree, name=name)
    assert render(create_view(RELATIONS[name], NAMES).tree, name=name).endswith(query)


def test_tables_lie_where_the_configuration_says():
    moved = Names(
        data="mine", views="mine", renamed={"telemetry.clients_daily": "other.lake.clients"}
    )
    found = tables_of(
        statements(moved)["telemetry_derived.experiments_daily_active_clients_v1"].tree
    )
    assert [(t.catalog, t.db, t.name) for t in found] == [("other", "lake", "clients")]
    everywhere = {t.catalog for s in statements(moved).values() for t in tables_of(s.tree)}
    assert everywhere == {"mine", "other"}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("SELECT a FROM t WHERE NOT a IN (1, 2)", "a NOT IN (1, 2)"),
        ("SELECT a FROM t WHERE NOT a IS NULL", "a IS NOT NULL"),
        ("SELECT a FROM t WHERE NOT a", "NOT a"),
        ("SELECT TIMESTAMP_ADD(a, INTERVAL 5 MINUTE) FROM t", "INTERVAL 5 MINUTE"),
        ("SELECT DATE_SUB(a, INTERVAL 14 DAY) FROM t", "INTERVAL 14 DAY"),
    ],
)
def test_bigquery_is_written_as_people_write_it(given, written):
    assert written in render(sqlglot.parse_one(given, dialect="bigquery"), name="a test")


def test_rendering_leaves_the_tree_as_it_was():
    tree = EVERY["telemetry_derived.experiment_enrollment_overall_v1"].tree
    before = tree.copy()
    render(tree, name="a test")
    assert tree == before


def test_what_the_dialect_has_no_form_of_is_an_error_that_names_the_statement():
    tree = sqlglot.parse_one("SELECT a FROM t FOR UPDATE", dialect="postgres")
    with pytest.raises(UnsupportedSQL, match="the statement of a_dataset") as caught:
        render(tree, name="a_dataset")
    assert caught.value.name == "a_dataset"


@pytest.mark.parametrize("name", [n for n, r in RELATIONS.items() if r.kind is Kind.SOURCE])
def test_nothing_of_ours_computes_a_source(name):
    with pytest.raises(ValueError, match=re.escape(name)):
        materialization(RELATIONS[name], NAMES)
    with pytest.raises(
        InvalidInput, match=f"{re.escape(name)} has no statement: ingestion writes it"
    ):
        statement(name, NAMES)


def test_the_command_writes_one_file_for_each_statement(tmp_path):
    done = CliRunner().invoke(main, ["sql", "--out", "a/new/place"])
    assert done.stdout == "47 statements in a/new/place\n"
    health = {name for name in judging(NAMES) if not name.endswith(".named")}
    names = {*COMPUTED, *health, "active_experiments", "export_metadata", "export_series"}
    files = list((tmp_path / "a/new/place").iterdir())
    assert {path.name for path in files} == {f"{name}.sql" for name in names}
    for path in files:
        assert path.read_text() == document(EVERY[path.stem])
