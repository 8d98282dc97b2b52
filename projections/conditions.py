"""A condition over an event and the view after it, such as `state.total > 3`.

    event.type, event.step, event.index, event.attempt, event.version, event.by, event.error
    status                         of the workflow
    state.total, state["a key"]    null while there is none
    steps.load.status, .total, .queued, .running, .completed, .failed, .attempts
                                   attempts: the most that one of its tasks has had

Operators as in Python: == != < <= > >= + - * / and or not in, and len(…). What is not there is
null, and a comparison with it does not hold.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from simpleeval import (  # type: ignore[import-untyped]  # it ships no types
    EvalWithCompoundTypes,
    InvalidExpression,
)

from ..core import events as e
from .state import Extended, StateValue
from .workflow import StepView, WorkflowView

KNOWN = ("event", "status", "state", "steps")


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]  # simpleeval has no types
    """Names behind a dot are looked up, never taken from Python objects."""

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        return _attribute(self._eval(node.value), node.attr)  # pyright: ignore[reportUnknownArgumentType]  # simpleeval has no types


class Condition:
    """A condition that was read. Raises ValueError for one that cannot be."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._eval: Any = _Evaluator(functions={"len": len})
        try:
            self._parsed: Any = self._eval.parse(text)
            _check_calls(self._parsed)
        except (SyntaxError, InvalidExpression) as error:
            raise ValueError(f"cannot read the condition {text!r}: {error}") from None
        self.holds(e.Recorded(0, 0, e.WorkflowStarted()), WorkflowView(""))

    def holds(self, recorded: e.Recorded, view: WorkflowView) -> bool:
        self._eval.names = {
            "event": _Event(recorded),
            "status": view.status,
            "state": _State(view.state),
            "steps": _Steps(view.steps),
            "null": None,
            "true": True,
            "false": False,
            "None": None,
            "True": True,
            "False": False,
        }
        try:
            return bool(self._eval.eval(self.text, previously_parsed=self._parsed))
        except TypeError:  # a comparison with what is not there
            return False
        except (InvalidExpression, LookupError, ArithmeticError, ValueError) as error:
            raise ValueError(
                f"cannot use the condition {self.text!r}: {error}; it is about {', '.join(KNOWN)}, "
                "such as steps.load.failed > 0"
            ) from None


def _check_calls(parsed: ast.AST) -> None:
    for node in ast.walk(parsed):
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Name) and node.func.id == "len"
        ):
            raise InvalidExpression(f"only len(…) can be called, got {ast.unparse(node)}")


def _attribute(found: object, name: str) -> Any:
    return found[name] if isinstance(found, _Lookup) else None


class _Lookup(Mapping[str, Any]):
    """Names with values, and null for all others."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known

    def __getitem__(self, name: str) -> Any:
        return self.value(self._known[name]) if name in self._known else None

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def value(self, known: Any) -> Any:
        return _Lookup(cast("dict[str, Any]", known)) if isinstance(known, dict) else known


class _Fields(_Lookup):
    """Names of which there are no others."""

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise LookupError(f"no {name!r}; there are {', '.join(self)}")
        return super().__getitem__(name)


class _State(_Lookup):
    def value(self, known: StateValue) -> Any:
        """A plain value; of one that lies beside the log what it is."""
        if isinstance(known, Extended):
            return _Lookup({"appended": len(known.appended)})
        if isinstance(known, e.Blob):
            return _Lookup({"size": known.size})
        return super().value(msgspec.json.decode(known))


class _Steps(_Lookup):
    def value(self, known: StepView) -> Any:
        return _Fields(
            {
                "status": known.status,
                "total": known.total,
                "queued": known.queued,
                "running": known.running,
                "completed": known.completed,
                "failed": len(known.failures),
                "attempts": max((task.attempt for task in known.tasks.values()), default=0),
            }
        )

    def __getitem__(self, name: str) -> Any:
        return self.value(self._known.get(name) or StepView(name))


class _Event(_Lookup):
    def __init__(self, recorded: e.Recorded) -> None:
        event = recorded.event
        error: e.Failure | None = getattr(event, "error", None)
        super().__init__(
            {
                "type": recorded.type,
                "version": recorded.version,
                "ts": recorded.ts,
                "by": recorded.by,
                "step": getattr(event, "step", None),
                "index": getattr(event, "index", None),
                "attempt": getattr(event, "attempt", None),
                "job": getattr(event, "job", None),
                "error": f"{error.type}: {error.message}" if error else None,
            }
        )
