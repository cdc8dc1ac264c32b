"""Start: `import expmon`, every statement of the catalogue, and `expmon --help`.

    .venv/bin/python benchmarks/startup.py [--quick]

Each run is a fresh process; runs of the sides alternate, and medians are compared. The import is
what a process with it takes beyond a bare interpreter. The statements are built in a process that
has imported expmon and nothing else, so that the time includes loading what builds them. The
command is timed whole, from its call to its end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import Line, alone, alternately, output, timed

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPORT_GOAL, STATEMENTS_GOAL, HELP_GOAL = 100, 200, 300
"""Milliseconds."""
HEAVY = ("pandas", "pyarrow", "sqlglot", "duckdb", "google")
COMMAND = Path(sys.executable).with_name("expmon")
BUILD = """
import time
import expmon
from expmon import api
from expmon.catalog.model import Names
began = time.perf_counter()
import expmon.statements.reading
loaded = time.perf_counter()
expmon.statements.statements(Names())
built = time.perf_counter()
api.statements()
print(built - began, loaded - began, time.perf_counter() - built)
"""
LOADED = f"""
import json, sys, expmon
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def lines(*, quick: bool) -> Iterator[Line]:
    """The three times, and what the import loads."""
    runs = 3 if quick else 21
    taken = alternately(
        {
            "bare": lambda: timed(lambda: python("pass")),
            "import": lambda: timed(lambda: python("import expmon")),
            "statements": lambda: float(python(BUILD).split()[0]),
            "loading": lambda: float(python(BUILD).split()[1]),
            "text": lambda: float(python(BUILD).split()[2]),
            "help": lambda: timed(lambda: output(str(COMMAND), "--help")),
        },
        runs,
    )
    milliseconds = {name: seconds * 1000 for name, seconds in taken.items()}
    bare, whole = milliseconds["bare"], milliseconds["import"]
    yield Line(
        "import expmon, beyond a bare interpreter",
        f"at most {IMPORT_GOAL} ms",
        whole - bare,
        "ms",
        met=whole - bare <= IMPORT_GOAL,
        runs=runs,
        detail=f"{whole:.0f} ms beside {bare:.0f} ms",
    )
    heavy = json.loads(python(LOADED))
    yield Line(
        "heavy packages that import expmon loads",
        "none",
        len(heavy),
        "packages",
        met=not heavy,
        detail=f"{', '.join(heavy) or 'none'} of {', '.join(HEAVY)}",
    )
    build, help_ = milliseconds["statements"], milliseconds["help"]
    yield Line(
        "every statement of the catalogue",
        f"at most {STATEMENTS_GOAL} ms",
        build,
        "ms",
        met=build <= STATEMENTS_GOAL,
        runs=runs,
        detail=f"after the import of expmon; {milliseconds['loading']:.0f} ms of it load sqlglot",
    )
    yield Line(
        "their text",
        "",
        milliseconds["text"],
        "ms",
        runs=runs,
        detail="once they are built",
    )
    yield Line(
        "expmon --help",
        f"at most {HELP_GOAL} ms",
        help_,
        "ms",
        met=help_ <= HELP_GOAL,
        runs=runs,
        detail="the whole command",
    )


def python(code: str) -> str:
    return output(sys.executable, "-c", code)


if __name__ == "__main__":
    alone(__doc__, lines)
