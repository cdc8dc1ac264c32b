"""Google's own analyzer accepts every statement, and makes of it what the catalogue declares."""

from __future__ import annotations

import inspect
import pkgutil
from functools import cache

import pytest

import googlesql
import statement_variants as variants
from expmon import statements
from expmon.catalog import FETCHABLE, RELATIONS
from expmon.catalog.alerts import ALERTS
from expmon.catalog.model import Kind, Names
from expmon.statements import bookkeeping, create_view, grafana, health, migrations, reading

MOZILLA = Names()
COMPUTED = variants.computed(MOZILLA)
EMBEDDED = variants.embedded(MOZILLA)
READ = variants.read(MOZILLA)
CHARTED = variants.charted(MOZILLA)
JUDGED = variants.judging(MOZILLA)
ALERTING = variants.alerting(MOZILLA)
EVERY = {**COMPUTED, **EMBEDDED, **READ, **CHARTED, **JUDGED, **ALERTING}

ELSEWHERE = {
    "in one project": Names(data="own", views="own", experiments="own"),
    "in projects with other names": Names(data="a-b-1", views="google.com:x", experiments="c_d"),
    "under other names": Names(
        renamed={name: f"Other_{name.replace('.', '.T_')}_2" for name in RELATIONS}
    ),
    "each in a project of its own": Names(
        renamed={name: f"p{n}.{name}" for n, name in enumerate(RELATIONS)}
    ),
}

POINTS = "ARRAY<STRUCT<time TIMESTAMP, branch STRING, value INT64>>"


def declared(relation):
    return [(column.name, column.type) for column in RELATIONS[relation].columns]


FOUND = declared("telemetry_derived.experiment_health_v1")
READ_COLUMNS = {
    "drift": [
        ("day", "DATE"),
        ("experiment", "STRING"),
        ("measure", "STRING"),
        ("live", "INT64"),
        ("final", "INT64"),
    ],
    "alerts.looked": [("until", "TIMESTAMP")],
    "alerts.standings": [
        ("time", "TIMESTAMP"),
        ("experiment", "STRING"),
        ("check_name", "STRING"),
        ("branch", "STRING"),
        ("verdict", "STRING"),
        ("since", "TIMESTAMP"),
        ("sentence", "STRING"),
        ("action", "STRING"),
        ("start_date", "DATE"),
    ],
    "active_experiments": [
        ("slug", "STRING"),
        ("type", "STRING"),
        ("app_name", "STRING"),
        ("channel", "STRING"),
        ("start_date", "DATE"),
        ("enrollment_end_date", "DATE"),
        ("end_date", "DATE"),
    ],
    "export_metadata": [
        ("slug", "STRING"),
        ("start_date", "DATE"),
        ("relation", "STRING"),
        ("latest_partition", "STRING"),
        ("as_of", "TIMESTAMP"),
        ("past_as_of", "TIMESTAMP"),
        *FOUND,
    ],
    "plot_metadata": [
        ("slug", "STRING"),
        ("start_date", "DATE"),
        ("enrollment_end_date", "DATE"),
        ("relation", "STRING"),
        ("latest_partition", "STRING"),
        ("as_of", "TIMESTAMP"),
    ],
    "export_series": [("dataset", "STRING"), ("experiment", "STRING"), ("points", POINTS)],
    "first_time": [("time", "TIMESTAMP")],
}
"""What comes out of the functions of `reading`, but for `fetch`, which gives the view's columns."""

CHARTED_COLUMNS = {
    "chart": [("point", "TIMESTAMP"), ("branch", "STRING"), ("value", "INT64")],
    "chart.experiment_enrollment_daily_active_population": [
        ("time", "TIMESTAMP"),
        ("branch", "STRING"),
        ("value", "INT64"),
    ],
    "experiments": [("text", "STRING"), ("value", "STRING")],
    "branches": [("text", "STRING"), ("value", "STRING")],
    "freshness": [("dataset", "STRING"), ("seconds", "INT64")],
}
"""What Grafana gets: a time, the name of a series and its value; or what a variable takes."""


COUNTS = [
    (f"{event}_count", "INT64")
    for event in (
        *("enroll", "unenroll", "graduate", "update", "enroll_failed", "unenroll_failed"),
        *("update_failed", "validation_failed"),
    )
]
JUDGED_COLUMNS = {
    "health_metadata": [
        ("slug", "STRING"),
        ("is_rollout", "BOOL"),
        ("app_name", "STRING"),
        ("proposed_enrollment", "INT64"),
        ("start_date", "DATE"),
        ("enrollment_end_date", "DATE"),
        ("end_date", "DATE"),
        ("branch", "STRING"),
        ("ratio", "INT64"),
    ],
    "health_ratios": declared("telemetry_derived.experiment_ratios_v1"),
    "health_carried": declared("telemetry_derived.experiment_totals_v1")[1:],
    "health_totals": [
        ("experiment", "STRING"),
        ("number", "INT64"),
        ("branch", "STRING"),
        *COUNTS,
        ("compared", "INT64"),
        ("expected", "INT64"),
        ("log_null", "INT64"),
    ],
    "health_hours": [
        ("experiment", "STRING"),
        ("hour", "TIMESTAMP"),
        *COUNTS,
        ("last_window", "TIMESTAMP"),
    ],
    "health_windows": [
        ("experiment", "STRING"),
        ("branch", "STRING"),
        ("window_start", "TIMESTAMP"),
        *COUNTS,
    ],
    "health_searches": [("experiment", "STRING"), ("last_window", "TIMESTAMP")],
    "health_previous": FOUND,
}
"""What the health checks read."""

READ_OPTIONS = {
    "drift": ["tiers", "names"],
    "active_experiments": ["names"],
    "export_metadata": ["names", "is_named"],
    "export_series": ["names", "datasets"],
    "fetch": ["relation", "names", "filters"],
    "first_time": ["names", "datasets"],
    "plot_metadata": ["names"],
}


def wanted(label):
    """The columns of one of `EVERY`."""
    if label in RELATIONS:
        return declared(label)
    function, *options = label.split(".")
    if label in {"alerts.unsettled", "alerts.written"}:
        return declared(ALERTS.name)
    if function == "grafana":
        return CHARTED_COLUMNS.get(".".join(options)) or CHARTED_COLUMNS[options[0]]
    if function.startswith("health_"):
        return JUDGED_COLUMNS[function]
    if function == "fetch":
        return declared(FETCHABLE[options[0]].name)
    return READ_COLUMNS.get(label) or READ_COLUMNS[function]


@cache
def names_of_parameters(label):
    return {parameter.name for parameter in EVERY[label].parameters}


@pytest.mark.parametrize("label", EVERY)
def test_a_statement_gives_the_declared_columns_with_their_types_in_order(label):
    assert googlesql.analyze(EVERY[label]) == wanted(label)


@pytest.mark.parametrize("label", EVERY)
def test_a_statement_uses_exactly_the_parameters_that_it_declares(label):
    # One that is not declared makes the analysis fail.
    assert googlesql.used_parameters(EVERY[label]) == names_of_parameters(label)


@pytest.mark.parametrize("view", [r for r in RELATIONS.values() if r.kind is Kind.VIEW], ids=str)
def test_a_view_is_created_with_the_declared_columns(view):
    assert googlesql.analyze(create_view(view, MOZILLA)) == declared(view.name)


@pytest.mark.parametrize("where", ELSEWHERE)
def test_statements_are_the_same_wherever_the_tables_lie(where):
    # Tables of Mozilla's names are unknown there.
    names = ELSEWHERE[where]
    every = {
        **variants.computed(names),
        **variants.embedded(names),
        **variants.read(names),
        **variants.charted(names),
        **variants.judging(names),
        **variants.alerting(names),
    }
    found = {label: googlesql.analyze(every[label], names=names) for label in every}
    assert found == {label: wanted(label) for label in EVERY}


@pytest.mark.slow
def test_statements_are_the_same_on_the_whole_schemas():
    # The embedded sources are made of rows that have what is read, and nothing else.
    every = {**COMPUTED, **READ, **CHARTED, **JUDGED, **ALERTING}
    found = {label: googlesql.analyze(s, whole=True) for label, s in every.items()}
    assert found == {label: wanted(label) for label in every}


# What BigQuery alone is asked


@pytest.mark.parametrize("where", [None, *ELSEWHERE])
@pytest.mark.parametrize("name", variants.kept(MOZILLA))
def test_a_statement_of_the_bookkeeping_uses_exactly_the_parameters_that_it_declares(name, where):
    names = MOZILLA if where is None else ELSEWHERE[where]
    statement = variants.kept(names)[name]
    declared_ones = {parameter.name for parameter in statement.parameters}
    assert googlesql.used_parameters(statement, names=names) == declared_ones


def test_partitions_and_the_lease_come_out_with_their_columns():
    kept = variants.kept(MOZILLA)
    assert googlesql.analyze(kept["partitions"]) == [
        ("relation", "STRING"),
        ("place", "STRING"),
        ("partition", "STRING"),
        ("rows", "INT64"),
        ("modified_at", "TIMESTAMP"),
        ("started_at", "TIMESTAMP"),
        ("as_of", "TIMESTAMP"),
    ]
    assert googlesql.analyze(kept["lease_holder"]) == [
        ("run_id", "STRING"),
        ("expires_at", "TIMESTAMP"),
        ("is_held", "BOOL"),
    ]


def test_every_statement_of_the_bookkeeping_is_analysed():
    functions = {
        name
        for name, function in inspect.getmembers(bookkeeping, inspect.isfunction)
        if function.__module__ == bookkeeping.__name__ and not name.startswith("_")
    }
    assert functions == set(variants.kept(MOZILLA))


# Nothing is left out


def test_every_statement_of_the_catalogue_is_analysed():
    assert set(statements.statements(MOZILLA)) == set(COMPUTED)


def test_every_statement_that_reads_is_analysed_with_all_of_its_options():
    functions = {
        name: list(inspect.signature(function).parameters)
        for name, function in inspect.getmembers(reading, inspect.isfunction)
        if function.__module__ == reading.__name__ and not name.startswith("_")
    }
    assert functions == READ_OPTIONS
    assert {label.partition(".")[0] for label in READ} == set(functions)


def test_every_query_of_the_health_checks_is_analysed():
    functions = {
        name
        for name, function in inspect.getmembers(health, inspect.isfunction)
        if function.__module__ == health.__name__ and not name.startswith("_")
    }
    # The last two are of all queries, and of the tables, which are among those of the catalogue.
    assert functions == {
        *(label.partition(".")[0].removeprefix("health_") for label in JUDGED),
        "queries",
        "written",
    }


def test_every_query_of_a_dashboard_is_analysed():
    functions = {
        name
        for name, function in inspect.getmembers(grafana, inspect.isfunction)
        if function.__module__ == grafana.__name__ and not name.startswith("_")
    }
    assert functions - {"in_grafana"} == {label.split(".")[1] for label in CHARTED}


def test_every_module_of_statements_is_known_here():
    """The helpers, the builders of `statements.statements`, and the others.

    Those of `examining` are only ever dry runs. `migrations` has none yet: the first one is to be
    analysed here, too.
    """
    modules = {module.name for module in pkgutil.iter_modules(statements.__path__)}
    helpers, builders = {"build", "render"}, {"counting", "derived", "tiers"}
    others = {"reading", "grafana", "embedded", "bookkeeping", "examining", "migrations"}
    judging = {"health", "alerts"}
    assert modules == helpers | builders | others | judging
    assert not any(migration.changes for migration in migrations.MIGRATIONS)
