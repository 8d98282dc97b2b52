"""`agentainer workflow trace`: the spans of a workflow, shown, written to a file, or exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text
from rich.tree import Tree

from ..core.errors import FlowError
from ..projections.spans import Span, spans_of
from ..reactors.otlp import Exporter
from .histories import open_history, say_problems
from .output import console, duration, print_json, say

#: Spans that one export carries.
PORTION = 500


class ExportFailed(FlowError):
    """Raised when a collector did not take the spans."""


def show_trace(id: str, *, otlp: str | None, perfetto: Path | None, as_json: bool) -> None:
    history = open_history(id)
    spans = spans_of(history.workflow, history.events, history.definition)
    if otlp is not None:
        _export(spans, otlp)
    if perfetto is not None:
        perfetto.write_bytes(msgspec.json.encode(perfetto_of(spans)))
        say(f"{perfetto}: {len(spans)} spans; open it at ui.perfetto.dev or chrome://tracing")
    if as_json:
        for span in spans:
            print_json(span)
    elif otlp is None and perfetto is None:
        _print_tree(spans)
    say_problems(history)


def _export(spans: list[Span], endpoint: str) -> None:
    """Raises ExportFailed, SettingsError. The same spans have the same ids each time."""
    exporter = Exporter(endpoint=endpoint)
    try:
        for first in range(0, len(spans), PORTION):
            if not exporter.export(spans[first : first + PORTION]):
                raise ExportFailed(f"the collector at {endpoint} did not take the spans")
    finally:
        exporter.close()
    if exporter.refused:
        raise ExportFailed(
            f"the collector at {endpoint} refused {exporter.refused} of {len(spans)} spans"
        )
    say(f"{len(spans)} spans exported to {endpoint}")


def perfetto_of(spans: list[Span]) -> dict[str, Any]:
    """Trace events as Perfetto and Chrome read them; a row per step, one per task of a fan-out."""
    rows: dict[tuple[str, int], int] = {}
    events: list[dict[str, Any]] = []
    for span in spans:
        row = _row_of(span)
        number = rows.setdefault(row, len(rows) + 1)
        events.append(
            {
                "name": span.name,
                "ph": "X",
                "ts": span.start_ms * 1000,
                "dur": (span.end_ms - span.start_ms) * 1000,
                "pid": 1,
                "tid": number,
                "args": {**span.attributes, **({"error": span.error} if span.error else {})},
            }
        )
    for (step, index), number in rows.items():
        name = f"{step}[{index}]" if index >= 0 else step
        events.append(
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": name}}
        )
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _row_of(span: Span) -> tuple[str, int]:
    step = str(span.attributes.get("agentainer.step.id", "workflow"))
    index = span.attributes.get("agentainer.task.index", -1)
    return step, int(index)


def _print_tree(spans: list[Span]) -> None:
    below: dict[str, list[Span]] = {}
    known = {span.span_id for span in spans}
    for span in spans:
        parent = span.parent_id if span.parent_id in known else ""
        below.setdefault(parent, []).append(span)
    for root in below.get("", []):
        tree = Tree(_line(root, spans[0].start_ms))
        _grow(tree, root, below, spans[0].start_ms)
        console().print(tree)


def _grow(tree: Tree, span: Span, below: dict[str, list[Span]], zero_ms: int) -> None:
    for child in sorted(below.get(span.span_id, []), key=lambda one: one.start_ms):
        _grow(tree.add(_line(child, zero_ms)), child, below, zero_ms)


def _line(span: Span, zero_ms: int) -> Text:
    place = _row_of(span)
    text = Text(span.name, style="red" if span.error else "")
    if place[1] >= 0:
        text.append(f" [{place[1]}]", style="dim")
    took = duration((span.end_ms - span.start_ms) / 1000)
    text.append(f"  +{duration((span.start_ms - zero_ms) / 1000)}  {took}", style="dim")
    if span.error:
        text.append(f"  {span.error}", style="red")
    return text
