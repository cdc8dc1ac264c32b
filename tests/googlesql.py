"""Google's own SQL engine (GoogleSQL, the PyPI package `zetasql`), as a judge of the statements.

`analyze` tells what Google's analyzer makes of a statement, `execute` what its reference evaluator
answers. The engine takes 10 to 20 seconds to start, once per process, and milliseconds a query.

It is spoken to by protocol messages: the package's own objects can't hold a TIMESTAMP.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlglot import exp
from zetasql.core import ZetaSqlLocalService
from zetasql.types import LanguageOptions
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto.options_pb2 import AnalyzerOptionsProto, LanguageOptionsProto
from zetasql.wasi._pb2.zetasql.proto.simple_catalog_pb2 import SimpleCatalogProto
from zetasql.wasi._pb2.zetasql.public import options_pb2 as options
from zetasql.wasi._pb2.zetasql.public.simple_table_pb2 import SimpleColumnProto, SimpleTableProto
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_node_kind_pb2 as nodes

from expmon.catalog import RELATIONS
from expmon.catalog.model import Kind, Names
from expmon.catalog.sources import EVENT_V4, MAIN_V4, STABLE_MAIN_V4
from expmon.statements import render, view
from googletypes import decoded, encoded, schema_types, type_of, type_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from google.protobuf.message import Message
    from zetasql.wasi._pb2.zetasql.public.type_pb2 import TypeProto

    from expmon.catalog.model import Relation, Statement

SCHEMAS = {EVENT_V4: "event.4", MAIN_V4: "main.4", STABLE_MAIN_V4: "main.4"}
"""The relations that have a schema of Mozilla's: the part that is read, or the whole of it."""

MOZILLA = Names()
PARTITIONS = {
    "table_catalog": "STRING",
    "table_schema": "STRING",
    "table_name": "STRING",
    "partition_id": "STRING",
    "total_rows": "INT64",
    "total_logical_bytes": "INT64",
    "total_billable_bytes": "INT64",
    "last_modified_time": "TIMESTAMP",
    "storage_tier": "STRING",
}
"""The columns of INFORMATION_SCHEMA.PARTITIONS.

Source: https://cloud.google.com/bigquery/docs/information-schema-partitions
"""
Columns = list[tuple[str, str]]


# What is asked


def analyze(statement: Statement, *, names: Names = MOZILLA, whole: bool = False) -> Columns:
    """The columns that come out of a query, or of the view it creates, with BigQuery's types.

    Args:
        statement: its parameters are declared with their types; others make it fail.
        names: where the statement's tables lie.
        whole: with all that Mozilla's schemas have, instead of what is read of them.
    """
    return list(_analysis(statement, names, whole=whole).columns)


def used_parameters(statement: Statement, *, names: Names = MOZILLA) -> set[str]:
    """The parameters that occur in a statement."""
    return set(_analysis(statement, names, whole=False).parameters)


def execute(
    statement: Statement,
    parameters: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    names: Names = MOZILLA,
) -> list[tuple[Any, ...]]:
    """The rows of a query.

    Args:
        statement: what to run.
        parameters: the value of each of its parameters.
        tables: by relation, the rows; a column that a row doesn't have is NULL, and a relation
            without rows is empty. Views that are not among them are computed.
        names: where the statement's tables lie.
    """
    tree = _with_views(statement.tree, names, tables)
    relations = _relations_in(tree, names)
    prepared = _call(
        "PrepareQuery",
        service.PrepareQueryRequest(
            sql=_sql(tree, statement.name),
            options=_options(statement),
            simple_catalog=_catalogue(relations, names),
            table_content={
                _place(relation, names): _content(relation, tables.get(relation.name, ()))
                for relation in relations
            },
        ),
        service.PrepareQueryResponse,
    ).prepared
    answer = _call(
        "EvaluateQuery",
        service.EvaluateQueryRequest(
            prepared_query_id=prepared.prepared_query_id,
            params=[
                service.Parameter(name=p.name, value=encoded(parameters[p.name], type_of(p.type)))
                for p in statement.parameters
            ],
        ),
        service.EvaluateQueryResponse,
    )
    _engine().unprepare_query(prepared_query_id=prepared.prepared_query_id)
    kinds = [column.type for column in prepared.columns]
    return [
        tuple(decoded(cell, type_) for cell, type_ in zip(row.cell, kinds, strict=True))
        for row in answer.content.table_data.row
    ]


# Statements


def _place(relation: Relation, names: Names) -> str:
    place = names.of(relation)
    return f"{place.project}.{place.dataset}.{place.table}"


def _full_name(table: exp.Table) -> str:
    """``project.dataset.table``, or ``project.dataset.INFORMATION_SCHEMA.view``."""
    parts = (table.args["catalog"], table.args["db"], table.this)
    return ".".join(found.name for part in parts for found in part.find_all(exp.Identifier))


def _relation_of(table: exp.Expr, names: Names) -> Relation | None:
    """The relation that a table of a statement is; None of a step of the statement itself."""
    if not isinstance(table, exp.Table) or not table.args.get("catalog"):
        return None
    place = _full_name(table)
    return next(r for r in RELATIONS.values() if _place(r, names) == place)


def _relations_in(tree: exp.Expr, names: Names) -> list[Relation]:
    found = (_relation_of(table, names) for table in tree.find_all(exp.Table))
    return list(dict.fromkeys(relation for relation in found if relation is not None))


def _with_views(tree: exp.Expr, names: Names, given: Mapping[str, Any]) -> exp.Expr:
    """The statement with the queries of views in their place, unless their rows are given."""

    def inlined(node: exp.Expr) -> exp.Expr:
        relation = _relation_of(node, names)
        if relation is None or relation.kind is not Kind.VIEW or relation.name in given:
            return node
        query = _with_views(view(relation, names).tree, names, given)
        return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(node.name)))

    return tree.transform(inlined)


def _sql(tree: exp.Expr, name: str) -> str:
    """The statement's text; the engine finds a table by one name in backticks."""

    def in_one(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Table) or not node.args.get("catalog"):
            return node
        place = _full_name(node)
        return exp.Table(this=exp.to_identifier(place, quoted=True), alias=node.args.get("alias"))

    return render(tree.transform(in_one), name=name)


# The engine


@cache
def _engine() -> ZetaSqlLocalService:
    return ZetaSqlLocalService.get_instance()


def _call(method: str, request: Message, answer: type[Any]) -> Any:
    return _engine().wasm_client.call_grpc_func(f"ZetaSqlLocalService_{method}", request, answer)


@cache
def _language() -> LanguageOptionsProto:
    """BigQuery's dialect, as far as it can be chosen."""
    _engine()
    language: LanguageOptionsProto = LanguageOptions.maximum_features().to_proto()
    language.product_mode = options.PRODUCT_EXTERNAL
    language.reserved_keywords.append("QUALIFY")
    language.supported_statement_kinds.extend(
        [
            nodes.RESOLVED_QUERY_STMT,
            nodes.RESOLVED_CREATE_VIEW_STMT,
            nodes.RESOLVED_MERGE_STMT,
            nodes.RESOLVED_UPDATE_STMT,
        ]
    )
    return language


def _options(statement: Statement) -> AnalyzerOptionsProto:
    """A DATE of a timestamp, and the like, is in UTC on BigQuery and in California here."""
    declared = [
        AnalyzerOptionsProto.QueryParameterProto(name=p.name, type=type_of(p.type))
        for p in statement.parameters
    ]
    return AnalyzerOptionsProto(
        language_options=_language(), default_timezone="UTC", query_parameters=declared
    )


class _Analysis(NamedTuple):
    columns: Columns
    parameters: set[str]


@cache
def _analysis(statement: Statement, names: Names, *, whole: bool) -> _Analysis:
    request = service.AnalyzeRequest(
        sql_statement=_sql(statement.tree, statement.name),
        options=_options(statement),
        registered_catalog_id=_registered(names, whole=whole),
    )
    resolved = _call("Analyze", request, service.AnalyzeResponse).resolved_statement
    columns = _descendants(resolved, "ResolvedOutputColumnProto")
    parameters = _descendants(resolved, "ResolvedParameterProto")
    return _Analysis(
        [(column.name, type_text(column.column.type)) for column in columns],
        {parameter.name for parameter in parameters},
    )


@cache
def _registered(names: Names, *, whole: bool) -> int:
    """The number of the catalogue of all relations: to send it once is quicker."""
    catalogue = _catalogue(RELATIONS.values(), names, whole=whole)
    request = service.RegisterCatalogRequest(simple_catalog=catalogue)
    return _call("RegisterCatalog", request, service.RegisterResponse).registered_id


def _catalogue(
    relations: Iterable[Relation], names: Names, *, whole: bool = False
) -> SimpleCatalogProto:
    catalogue = SimpleCatalogProto(name="bigquery")
    catalogue.builtin_function_options.language_options.CopyFrom(_language())
    for relation in relations:
        columns = [
            SimpleColumnProto(name=name, type=type_)
            for name, type_ in _column_types(relation, whole=whole).items()
        ]
        catalogue.table.append(SimpleTableProto(name=_place(relation, names), column=columns))
    datasets = {_place(relation, names).rpartition(".")[0] for relation in relations}
    for dataset in datasets | {str(names.behind(r)).rpartition(".")[0] for r in relations}:
        name = f"{dataset}.INFORMATION_SCHEMA.PARTITIONS"
        columns = [SimpleColumnProto(name=n, type=type_of(t)) for n, t in PARTITIONS.items()]
        catalogue.table.append(SimpleTableProto(name=name, column=columns))
    return catalogue


def _descendants(message: Message, name: str) -> Iterator[Any]:
    """The messages of this name inside of another."""
    if message.DESCRIPTOR.name == name:
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                yield from _descendants(inner, name)


# Tables


@cache
def _column_types(relation: Relation, *, whole: bool = False) -> dict[str, TypeProto]:
    if relation in SCHEMAS:
        return schema_types(SCHEMAS[relation], whole=whole)
    return {column.name: type_of(column.type) for column in relation.columns}


def _content(relation: Relation, rows: Sequence[Mapping[str, Any]]) -> service.TableContent:
    columns = _column_types(relation)
    if strange := {name for row in rows for name in row} - columns.keys():
        raise KeyError(f"{relation.name} has no {strange}")
    content = service.TableContent()
    content.table_data.SetInParent()
    for row in rows:
        cells = [encoded(row.get(name), type_) for name, type_ in columns.items()]
        content.table_data.row.add(cell=cells)
    return content
