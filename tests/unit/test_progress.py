"""Plain progress: a line for what is new, and none for what was said."""

from __future__ import annotations

import pytest

from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.projections.fold import apply
from agentainer_flow.projections.workflow import WorkflowView
from agentainer_flow.sdk.progress import Progress

from .test_workflow_view import STORY

DEFINITION = Definition("wf", (StepSpec("a"),))


def test_each_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    view = WorkflowView("w1")
    with Progress("w1", DEFINITION, "plain") as progress:
        for recorded in STORY:
            apply(view, recorded)
            progress.show(view)
            progress.show(view)

    assert capsys.readouterr().err.splitlines() == [
        "a: scheduled",
        "a: running, 0/2 done, 1 running",
        "a: running, 0/2 done, 2 running",
        "a: running, 0/2 done, 1 running",
        "a: running, 0/2 done, 2 running",
        "a: running, 1/2 done, 1 running",
        "a: running, 2/2 done",
        "a: completed, 2/2 done",
        "workflow w1 completed after 0.0 s",
    ]
