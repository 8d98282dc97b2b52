"""Each value of a log against what plain Python makes of the graph. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agentainer_flow.projections.invariants import Entry

from .graphs import Graph, Step, is_doomed, value_of, width_of

ENDS = ("workflow.completed", "workflow.failed", "workflow.cancelled")


class Values:
    """What the steps of a run gave, as its log has it; failed tasks count as `failed`."""

    def __init__(self, graph: Graph, log: Sequence[Entry]) -> None:
        self._graph = graph
        self._given: dict[str, dict[int, Any]] = {step.id: {} for step in graph.steps}
        self.problems = list(self._read(log))

    def _read(self, log: Sequence[Entry]) -> Iterator[str]:
        for entry in log:
            match entry.type:
                case "task.completed":
                    index, got = entry.data["index"], entry.data.get("result")
                    expected = self._expected(entry.data["step"], index)
                    if got != expected:
                        place = f"{entry.data['step']}[{index}]"
                        yield f"{place} gave {got} at {entry.version}, expected {expected}"
                    self._given[entry.data["step"]][index] = got
                case "task.failed":
                    self._given[entry.data["step"]][entry.data["index"]] = "failed"
                case _:
                    pass

    def _expected(self, name: str, index: int) -> Any:
        step = self._graph.step(name)
        handed = {one: self.of(self._graph.step(one)) for one in step.after}
        item = self.of(self._graph.step(step.over))[index] if step.over else index
        return value_of(step, index, item if step.fans_out else None, handed)

    def of(self, step: Step) -> Any:
        given = self._given[step.id]
        if not step.fans_out:
            return given.get(0)
        return [given.get(index) for index in range(width_of(self._graph, step))]

    def result(self) -> Any:
        ends = {name: self.of(self._graph.step(name)) for name in self._graph.ends}
        return ends if len(ends) > 1 else next(iter(ends.values()))


def judge_values(graph: Graph, log: Sequence[Entry], excuses: set[str]) -> Iterator[str]:
    """What is wrong with the values and the end of a run. `excuses`: why it may fail, too."""
    values = Values(graph, log)
    yield from values.problems
    last = next((entry for entry in log if entry.type in ENDS), None)
    if last is None:
        return
    doomed = is_doomed(graph)
    match last.type:
        case "workflow.completed" if doomed:
            yield "it completed and was to fail"
        case "workflow.completed":
            if (got := _without_errors(last.data.get("result"))) != values.result():
                yield f"its result is {got}, expected {values.result()}"
        case "workflow.failed" if not doomed:
            error = last.data["error"]
            if error["type"] not in excuses:
                yield f"it failed by {error['type']}: {error['message']}"
        case _:
            pass


def _without_errors(result: Any) -> Any:
    """Where a task failed its error stands: a map that has its index."""
    if isinstance(result, list):
        return [_without_errors(one) for one in result]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(result, dict) and "index" in result:
        return "failed"
    if isinstance(result, dict):
        return {name: _without_errors(one) for name, one in result.items()}  # pyright: ignore
    return result
