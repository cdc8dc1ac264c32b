import importlib
import sys

import expmon.statements as s

for m in ("build", "counting", "derived", "embedded", "reading", "render", "tiers"):
    sys.modules[f"expmon.sql.{m}"] = importlib.import_module(f"expmon.statements.{m}")
from expmon.statements import *
from expmon.statements import statement, statements
