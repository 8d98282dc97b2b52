"""What of a stored definition a checker needs: who waits for whom, and what limits hold."""

from __future__ import annotations

from typing import Any

import msgspec


class Fan(msgspec.Struct, frozen=True):
    max_workers: int | None = None
    #: `fail_fast`, `collect` or an object for a quorum.
    on_failure: Any = "fail_fast"


class Concurrency(msgspec.Struct, frozen=True):
    key: str
    limit: int


class GraphStep(msgspec.Struct, frozen=True):
    id: str
    depends_on: tuple[str, ...] = ()
    parallel: Fan | None = None
    queue: str = "default"
    concurrency: Concurrency | None = None


class Graph(msgspec.Struct, frozen=True):
    """One definition. Without one a log is checked as far as it goes by itself."""

    name: str = ""
    steps: tuple[GraphStep, ...] = ()
    max_parallel: int | None = None

    def step(self, name: str) -> GraphStep:
        return next((step for step in self.steps if step.id == name), GraphStep(name))

    @property
    def ends(self) -> list[str]:
        """The steps that nothing waits for: their results are the workflow's."""
        waited_for = {name for step in self.steps for name in step.depends_on}
        return [step.id for step in self.steps if step.id not in waited_for]


decode_graph = msgspec.json.Decoder(Graph).decode
