"""Each test that the page on failures names as proof is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "failures.md"


def test_every_proof_is_there() -> None:
    proofs = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE.read_text())
    assert proofs
    missing = [
        f"{path}::{name}"
        for path, name in proofs
        if not (TESTS / path).is_file()
        or not re.search(rf"def {name}\(", (TESTS / path).read_text())
    ]
    assert not missing


def test_every_fault_has_a_proof() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    assert all("::test_" in row for row in rows)
