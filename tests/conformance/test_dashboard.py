"""Google's engine reads what Grafana makes of the dashboard's queries, whatever names there are."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlglot import exp

import googlesql
import statement_variants as variants
from expmon.catalog import EXPORTED
from expmon.catalog.model import Names, Series, Statement
from expmon.statements import grafana, render
from interpolating import ALL, interpolated
from tricky import DAY, MIDNIGHT, NAMES

STATEMENTS = variants.charted(Names())
SPAN = {"start": MIDNIGHT, "end": MIDNIGHT + DAY}
ENROLLMENT = EXPORTED[0]
ACTIVE = next(dataset for dataset in EXPORTED if dataset.series is Series.DAILY)


def as_grafana_asks(statement, **chosen):
    """The statement without parameters, with Grafana's own texts in their places."""
    chosen = {**SPAN, "custom_all": grafana.ALL_BRANCHES, **chosen}

    def filled(node):
        if not isinstance(node, exp.Parameter):
            return node
        alone = Statement("alone", exp.select(node.copy()))
        text = grafana.in_grafana(alone).removeprefix("SELECT").strip()
        return exp.Var(this=interpolated(text, **chosen))

    tree = statement.tree.transform(filled)
    text = interpolated(grafana.in_grafana(statement), **chosen)
    assert render(tree, name=statement.name) == text
    return Statement(statement.name, tree)


def rows(**columns):
    return [
        {"time": MIDNIGHT, "value": number, **dict(zip(columns, names, strict=True))}
        for number, names in enumerate(zip(*columns.values(), strict=True))
    ]


def offered(statement, tables, **chosen):
    """What a variable offers: the values by their names."""
    return dict(googlesql.execute(as_grafana_asks(statement, **chosen), {}, tables))


@pytest.mark.parametrize("label", STATEMENTS)
@pytest.mark.parametrize("branches", [ALL, ["a"], ["a", "it's"]], ids=["all", "one", "two"])
def test_a_query_has_the_same_columns_when_grafana_has_filled_it_in(label, branches):
    statement = STATEMENTS[label]
    filled = as_grafana_asks(
        statement, experiment="exp", branches=branches, interval=timedelta(hours=1)
    )
    assert googlesql.analyze(filled) == googlesql.analyze(statement)


def test_every_branch_can_be_chosen_whatever_its_name():
    tables = {
        ENROLLMENT.table.name: rows(experiment=["exp"] * len(NAMES), branch=NAMES),
        ACTIVE.table.name: rows(experiment=["exp"], branch=["a"]),
    }
    values = offered(grafana.branches(Names()), tables, experiment="exp")
    assert set(values) == {*NAMES, "a"}
    chart = grafana.chart(ENROLLMENT, Names())
    for chosen in (NAMES, NAMES[::2], NAMES[1::2]):
        filled = as_grafana_asks(chart, experiment="exp", branches=[values[n] for n in chosen])
        found = [branch for _, branch, _ in googlesql.execute(filled, {}, tables)]
        assert Counter(found) == Counter(chosen)
    everything = as_grafana_asks(chart, experiment="exp", branches=ALL)
    assert {branch for _, branch, _ in googlesql.execute(everything, {}, tables)} == set(NAMES)


def test_every_experiment_can_be_chosen_whatever_its_name():
    tables = {ENROLLMENT.table.name: rows(experiment=NAMES, branch=["a"] * len(NAMES))}
    values = offered(grafana.experiments(Names()), tables)
    assert set(values) == set(NAMES)
    chart = grafana.chart(ENROLLMENT, Names())
    for number, name in enumerate(NAMES):
        filled = as_grafana_asks(chart, experiment=values[name], branches=ALL)
        assert googlesql.execute(filled, {}, tables) == [(MIDNIGHT, "a", number)]


def test_names_that_can_be_read_stay_so_and_no_value_looks_like_a_variable():
    tables = {ENROLLMENT.table.name: rows(experiment=NAMES, branch=["a"] * len(NAMES))}
    values = offered(grafana.experiments(Names()), tables)
    assert values["exp"] == "exp"
    assert values["日本"] == "日本"
    assert [value for value in values.values() if "$" in value] == []
