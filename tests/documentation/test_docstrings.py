"""Every public name, option, relation and column is described, and as it is."""

from __future__ import annotations

import builtins
import dataclasses
import enum
import importlib
import inspect
import re

import click
import pytest

import expmon
from expmon import errors
from expmon.catalog import DATASETS, RELATIONS
from expmon.cli import main
from snippets import PAGES, blocks

_SECTIONS = ("Args", "Returns", "Raises", "Attributes")
PROTOCOLS = {
    "FakeWarehouse": "expmon.warehouse.protocol.Warehouse",
    **dict.fromkeys(("MemoryStore", "LocalStore", "GCSStore"), "expmon.export.store.Store"),
}
"""What a class keeps, by its name: there the arguments are described."""
_REFERS = re.compile(r"\bas of `|\b[Ss]ee `")
"""A description that is told elsewhere."""


def documented():
    """What the pages of the reference have from docstrings, by its full name."""
    found = {}
    for page in PAGES:
        module = ""
        for block in blocks(page):
            if block.language == "{eval-rst}":
                for directive, name in re.findall(
                    r"^\.\. (\w+):: (\S+)$", block.text, re.MULTILINE
                ):
                    if directive in {"currentmodule", "automodule"}:
                        module = name
                    if directive == "automodule" and ":no-members:" not in block.text:
                        found |= members(importlib.import_module(name))
                    elif directive in {"autofunction", "autoclass", "autoexception"}:
                        found[f"{module}.{name}"] = getattr(importlib.import_module(module), name)
    return found


def members(module):
    return {
        f"{module.__name__}.{name}": member
        for name, member in vars(module).items()
        if getattr(member, "__module__", None) == module.__name__ and not name.startswith("_")
    }


def methods(cls):
    """A class's own public functions and properties."""
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else inspect.unwrap(member)
        function = getattr(function, "__func__", function)
        if inspect.isfunction(function) and not name.startswith("_"):
            yield name, function


DOCUMENTED = documented()
CLASSES = {name: found for name, found in DOCUMENTED.items() if inspect.isclass(found)}
FUNCTIONS = {name: found for name, found in DOCUMENTED.items() if inspect.isfunction(found)} | {
    f"{name}.{method}": function
    for name, cls in CLASSES.items()
    for method, function in methods(cls)
}


def sections(text):
    """The entries of each section of a docstring in Google's style, and what stands above them."""
    parts = re.split(rf"^({'|'.join(_SECTIONS)}):$", text, flags=re.MULTILINE)
    found = {
        name: re.findall(r"^    (\w+):", body, re.MULTILINE)
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return parts[0], found


def promised(name):
    """The method of the protocol that a method keeps; any other is itself."""
    cls, _, method = name.rpartition(".")
    promise = f"{PROTOCOLS.get(cls.rpartition('.')[2])}.{method}"
    return promise if promise in FUNCTIONS else name


def test_the_reference_has_all_that_is_public():
    names = {f"{found.__module__}.{name}" for name, found in public()}
    homes = {f"{found.__module__}.{found.__qualname__}" for found in DOCUMENTED.values()}
    assert len(names) == len(expmon.__all__)
    assert names <= homes


def public():
    return [(name, getattr(expmon, name)) for name in expmon.__all__]


def test_the_reference_has_what_the_public_functions_return():
    """Classes of expmon's that their annotations name."""
    annotated = {
        word
        for name, function in FUNCTIONS.items()
        if name.startswith("expmon.") and name.count(".") <= 2
        for word in re.findall(r"\b[A-Z]\w+", str(inspect.signature(function).return_annotation))
    }
    known = {name.rpartition(".")[2] for name in CLASSES}
    foreign = {"DataFrame", "Figure", "Iterator", "Self", "None"}
    assert {"Plan", "Run", "Status", "Export", "Ingested", "Finding"} <= annotated
    assert annotated - foreign <= known


@pytest.mark.parametrize("name", sorted({**CLASSES, **FUNCTIONS}))
def test_a_public_name_is_described_in_a_sentence(name):
    found = CLASSES.get(name) or FUNCTIONS[name]
    first = inspect.getdoc(found).splitlines()[0]
    assert len(first.split()) >= 3, first
    assert first.endswith((".", ":")), first


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_describes_the_arguments_that_it_has_and_its_errors(name):
    function = FUNCTIONS[promised(name)]
    text = inspect.getdoc(function)
    _, found = sections(text)
    signature = inspect.signature(function)
    parameters = [
        parameter for parameter in signature.parameters if parameter not in {"self", "cls"}
    ]
    if "Args" in found or not _REFERS.search(text):
        assert found.get("Args", []) == parameters
    assert not ("Returns" in found and signature.return_annotation in {None, "None"})
    for error in found.get("Raises", []):
        known = getattr(errors, error, None) or getattr(builtins, error)
        assert issubclass(known, Exception)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_describes_fields_that_it_has(name):
    cls = CLASSES[name]
    _, found = sections(inspect.getdoc(cls))
    fields = (
        {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else ()
    )
    if issubclass(cls, enum.Enum) or not dataclasses.is_dataclass(cls):
        return
    assert set(found.get("Attributes", ())) <= {*fields, *(n for n, _ in methods(cls))}


def commands(group=main, path=("expmon",)):
    yield " ".join(path), group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_each_of_its_options_are_described(name):
    command = COMMANDS[name]
    assert command.help.splitlines()[0].endswith(".")
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not (option.help or "").endswith(".")] == []


def test_the_commands_are_those_of_the_command():
    assert {"expmon deploy", "expmon run", "expmon fetch", "expmon export"} < COMMANDS.keys()
    assert len(COMMANDS) == len(main.commands) + 1


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_and_each_of_its_columns_are_described(name):
    relation = RELATIONS[name]
    assert relation.description
    assert relation.columns
    assert [column.name for column in relation.columns if not column.description] == []


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_says_what_it_counts_and_in_which_unit(name):
    dataset = DATASETS[name]
    assert dataset.description
    assert dataset.unit
