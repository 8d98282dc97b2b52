"""What a process that serves imports, and what that costs it later."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys
from agentainer_flow.cli.importing import UNUSED, importing
with importing():
    import agentainer_flow.cli.serving
assert UNUSED not in sys.modules
assert gc.isenabled() and gc.get_freeze_count() > 10_000
import opentelemetry.sdk.metrics
"""


def test_imports_are_passed_over_by_the_collector_and_bring_no_more_than_is_used() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
