"""The house map of DESIGN.md, section 9: who may import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import expmon

ROOT = Path(expmon.__file__).parent
FILES = {
    ".".join(("expmon", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}

GROUND = {"errors", "windows"}
WORK = {"catalog", "statements", "slugs", "findings", "warehouse.protocol", *GROUND}
MAY_IMPORT = {
    "errors": set(),
    "windows": {"errors"},
    "slugs": {"errors"},
    "findings": {"errors"},
    "catalog": GROUND,
    "statements": {"catalog", *GROUND},
    "sandbox": {"catalog", *GROUND},
    # Engines run the statements: they print them, and keep the views.
    "warehouse": {"catalog", "statements", "findings", *GROUND},
    "materialize": {"health_settings", *WORK},
    "health": {"health_settings", "materialize", *WORK},
    "fetch": WORK,
    "export": WORK,
    "plotting": {"fetch", *WORK},
    # Pages are made of exported files alone.
    "report": {
        *("catalog", "slugs", *GROUND),
        *("export.store", "export.index", "export.rendering"),
    },
    "ingest": {"sandbox", *WORK},
    "health_settings": set(),
    "google_credentials": {"errors"},
    "settings_forms": {"catalog", "errors"},
    "settings_table": {
        "health_settings",
        "settings_forms",
        "catalog",
        "errors",
        "materialize.schedule",
        "warehouse.bigquery_settings",
    },
    "config": {
        "health_settings",
        "settings_table",
        "settings_forms",
        "catalog",
        "errors",
        "materialize.schedule",
        "warehouse.bigquery_settings",
    },
    "monitor": {
        *("config", "materialize", "health", "fetch", "export", "plotting", "report", "ingest"),
        *WORK,
    },
    # The one place that knows the engines and the stores.
    "connection": {"config", "errors", "google_credentials", "monitor", "warehouse", "export"},
    "grafana": {"catalog", "statements"},
    "api": {"catalog", "config", "connection", "errors", "grafana", "monitor", "statements"},
    "expmon": {"api", "connection", "errors", "monitor"},
    "cli": {"expmon", "api", "connection", "errors", "monitor"},
    "cli.calibrate": {"health.calibrate", "health.simulation"},
    "cli.demo": {"sandbox"},
    "__main__": {"cli"},
    "airflow": {"expmon", "api", "connection", "errors", "monitor"},
}
HEAVY = {"pandas", "pyarrow", "numpy", "duckdb", "google", "rich", "filelock", "db_dtypes"}
ONLY_IN = {
    "duckdb": ("warehouse.duckdb", "warehouse.duckdb_file"),
    "google": ("warehouse.bigquery", "export.gcs", "google_credentials"),
    "sqlglot": ("statements", "warehouse.translation", "warehouse.bigquery_types"),
    "click": ("cli",),
    "grafana_foundation_sdk": ("grafana",),
    "matplotlib": ("plotting.figure",),
    "requests": ("health.delivery", "warehouse.bigquery", "export.gcs"),
    "rich": ("cli",),
}


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def runtime_nodes(node):
    """The nodes below, without what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for other in child.orelse:
                yield other
                yield from runtime_nodes(other)
            continue
        yield child
        yield from runtime_nodes(child)


def imported(tree, *, of):
    """The modules of a package that a tree imports: ``errors``, ``catalog.model``."""
    found = set()
    for node in runtime_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in FILES else node.module)
    inside = {name for name in found if name.split(".")[0] == of}
    return {name.removeprefix(f"{of}.") for name in inside}


def short(module):
    return module.removeprefix("expmon.")


def unit(module):
    return short(module).split(".")[0]


def may_import(module, target):
    own = short(module)
    rules = MAY_IMPORT[unit(module)] | (
        MAY_IMPORT.get(own, set()) if own != unit(module) else set()
    )
    known = unit(module) == unit(target)
    return known or any(target == rule or target.startswith(f"{rule}.") for rule in rules)


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_what_the_house_map_lets_it(module):
    targets = imported(ast.parse(FILES[module].read_text(encoding="utf-8")), of="expmon")
    assert {target for target in targets if not may_import(module, target)} == set()


def test_every_module_has_its_place_on_the_map():
    assert {unit(module) for module in FILES} <= MAY_IMPORT.keys()


def test_the_map_goes_round_in_no_circle():
    waiting = {
        name: {rule.split(".")[0] for rule in rules} - {name} for name, rules in MAY_IMPORT.items()
    }
    waiting["cli"] |= waiting.pop("cli.demo") | waiting.pop("cli.calibrate")
    while waiting:
        free = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert free, sorted(waiting)
        for name in free:
            del waiting[name]


def test_only_ingestion_and_the_demo_use_the_sandbox():
    users = {
        module
        for module, path in FILES.items()
        for target in imported(ast.parse(path.read_text(encoding="utf-8")), of="expmon")
        if target.split(".")[0] == "sandbox" and unit(module) != "sandbox"
    }
    assert users == {"expmon.ingest", "expmon.cli.demo"}


@pytest.mark.parametrize("module", FILES)
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    statements = [node for node in tree.body if not is_type_checking(node)]
    first = {
        alias.name.split(".")[0]
        for node in statements
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    first |= {node.module.split(".")[0] for node in statements if isinstance(node, ast.ImportFrom)}
    assert not first & HEAVY


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_in_its_own_place(library):
    users = {
        short(module)
        for module, path in FILES.items()
        if imported(ast.parse(path.read_text(encoding="utf-8")), of=library)
    }
    places = ONLY_IN[library]
    strangers = {u for u in users if not any(re.match(rf"{p}\b|{p}_", u) for p in places)}
    assert strangers == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import expmon.warehouse.duckdb", {"warehouse.duckdb"}),
        ("from expmon import catalog", {"catalog"}),
        ("from expmon import __version__", {"expmon"}),
        ("from expmon.catalog import sources, near", {"catalog.sources", "catalog"}),
        ("def f():\n    from expmon.monitor import Monitor", {"monitor"}),
        ("if TYPE_CHECKING:\n    from expmon.monitor import Monitor", set()),
        ("if typing.TYPE_CHECKING:\n    pass\nelse:\n    import expmon.api", {"api"}),
        ("import pandas", set()),
    ],
)
def test_every_form_of_an_import_is_seen(source, found):
    assert imported(ast.parse(source), of="expmon") == found


@pytest.mark.parametrize(
    ("module", "target", "answer"),
    [
        ("expmon.export.run", "warehouse.protocol", True),
        ("expmon.export.run", "warehouse.duckdb", False),
        ("expmon.export.run", "warehouse", False),
        ("expmon.export.run", "export.store", True),
        ("expmon.catalog.model", "statements", False),
        ("expmon.catalog.model", "windows", True),
        ("expmon.cli.demo", "sandbox.simulate", True),
        ("expmon.cli.data", "sandbox", False),
        ("expmon.cli.data", "catalog", False),
        ("expmon.monitor", "warehouse.duckdb", False),
        ("expmon.config", "materialize.plan", False),
        ("expmon.report.reading", "export.store", True),
        ("expmon.report.reading", "export.local", False),
        ("expmon.report.page", "statements", False),
        ("expmon.config", "warehouse.bigquery_settings", True),
        ("expmon.config", "warehouse.bigquery", False),
    ],
)
def test_the_map_is_read_as_it_is_drawn(module, target, answer):
    assert may_import(module, target) is answer
