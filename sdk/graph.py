"""From a decorated class to its definition and the code that runs each step."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
import msgspec.inspect

from ..core.definition import Bind, Concurrency, Definition, Fan, Quorum, Retry, StepSpec, check
from ..core.errors import DefinitionError, InputError, PayloadError
from ..core.payloads import convert, describe

STEP = "__agentainer_step__"
PARALLEL = "__agentainer_parallel__"
#: Marks a module that was imported as a file; its name says nothing to another process.
FILE = "__agentainer_file__"

OnFailure = Literal["fail_fast", "collect"] | Quorum

#: What `@parallel(over=…)` takes: a name, or a function of the inputs.
Over = str | Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class StepMark:
    name: str | None
    depends_on: tuple[str, ...]
    retry: Retry | None = None
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    #: None takes the workflow's.
    queue: str | None = None
    concurrency: Concurrency | None = None


@dataclass(frozen=True)
class ParallelMark:
    max_workers: int | None
    over: Over | None
    on_failure: OnFailure = "fail_fast"


@dataclass
class StepCode:
    """The method behind a step, and how its values are converted."""

    id: str
    attribute: str
    is_async: bool
    parameters: dict[str, Any]
    returns: Any = Any
    items: Callable[[dict[str, Any]], Any] | None = None
    timeout_s: float | None = None
    retry_from_scratch: bool = False

    @cached_property
    def _returns(self) -> msgspec.json.Decoder[Any] | None:
        return None if self.returns in (Any, None) else msgspec.json.Decoder(self.returns)

    def accept(self, parameter: str, value: Any) -> Any:
        """Convert a value of the log to what the parameter is annotated with."""
        kind = self.parameters.get(parameter, Any)
        if kind is Any:
            return value
        return convert(value, kind, what=f"parameter {parameter!r} of step {self.id!r}")

    def check_result(self, data: bytes | msgspec.Raw) -> None:
        """Raises PayloadError when a result, as JSON, is not what the step is annotated with."""
        if self._returns is None:
            return
        try:
            self._returns.decode(data)
        except msgspec.ValidationError as error:
            raise PayloadError(
                f"the result of step {self.id!r} does not fit {describe(self.returns)}: {error}"
            ) from error


@dataclass
class WorkflowCode:
    """A workflow class: its definition and its steps' methods."""

    cls: type
    definition: Definition
    steps: dict[str, StepCode]
    #: `module:class` or `file.py:class`, what `agentainer up` is given.
    reference: str

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def required_arguments(self) -> list[str]:
        """Arguments that its `__init__` cannot do without."""
        parameters = inspect.signature(self.cls).parameters.values()
        return [
            p.name
            for p in parameters
            if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]

    def check_inputs(self, inputs: dict[str, Any]) -> None:
        """Raises InputError naming class, step and parameter of an input that is missing."""
        for name, step, parameter in self.definition.required_inputs():
            if name in inputs or (parameter == "over" and self.steps[step].items):
                continue
            got = ", ".join(sorted(inputs)) or "none"
            raise InputError(
                f"{self.cls.__name__}: step {step!r} needs input {name!r}"
                + (f" for parameter {parameter!r}" if parameter != "over" else " to fan out over")
                + f"; inputs given: {got}"
            )


def build(
    cls: type,
    name: str,
    scope: dict[str, Any],
    *,
    timeout_s: float | None = None,
    max_parallel: int | None = None,
    priority: int = 0,
    queue: str = "default",
    log_ttl_s: float | None = None,
    state_ttl_s: float | None = None,
) -> WorkflowCode:
    """Read a class. `scope` are the local names its annotations may use.

    Raises DefinitionError naming class, step and parameter.
    """
    found = list(_marked(cls, name))
    ids = [mark.name or attribute for attribute, _, mark in found]
    specs: list[StepSpec] = []
    codes: dict[str, StepCode] = {}
    for (attribute, function, mark), step_id in zip(found, ids, strict=True):
        builder = _StepBuilder(name, step_id, attribute, function, mark, ids, scope, queue)
        specs.append(builder.spec)
        codes[step_id] = builder.code
    limits = (timeout_s, max_parallel, priority, log_ttl_s, state_ttl_s)
    definition = check(Definition(name, tuple(specs), *limits))
    return WorkflowCode(cls, definition, codes, reference(cls))


def reference(cls: type) -> str:
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    if path and (cls.__module__ == "__main__" or hasattr(module, FILE)):
        return f"{_short(Path(path))}:{cls.__qualname__}"
    return f"{cls.__module__}:{cls.__qualname__}"


def _short(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _marked(cls: type, workflow: str) -> typing.Iterator[tuple[str, Any, StepMark]]:
    """(attribute, function, mark) of each step, base classes first, in the order of the source."""
    seen: set[str] = set()
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            if attribute in seen:
                continue
            if hasattr(value, PARALLEL) and not hasattr(value, STEP):
                raise DefinitionError(
                    workflow, "has @parallel but no @step; add @step", step=attribute
                )
            function = getattr(cls, attribute)
            if (mark := _mark_of(cls, attribute)) and callable(function):
                seen.add(attribute)
                yield attribute, function, mark


def _mark_of(cls: type, attribute: str) -> StepMark | None:
    """The mark of a method, its own or of the base class method that it overrides."""
    for base in cls.__mro__:
        mark = getattr(vars(base).get(attribute), STEP, None)
        if isinstance(mark, StepMark):
            return mark
    return None


def _parallel_of(function: Any) -> ParallelMark | None:
    mark = getattr(function, PARALLEL, None)
    return mark if isinstance(mark, ParallelMark) else None


class _StepBuilder:
    """Bind the parameters of one step."""

    def __init__(
        self,
        workflow: str,
        step_id: str,
        attribute: str,
        function: Any,
        mark: StepMark,
        steps: list[str],
        scope: dict[str, Any],
        queue: str,
    ) -> None:
        self.workflow, self.id, self.function, self.mark = workflow, step_id, function, mark
        self.steps = [step for step in steps if step != step_id]
        self.fan = _parallel_of(function)
        self.depends_on = list(mark.depends_on)
        self.binds: dict[str, Bind] = {}
        parameters = self._parameters()
        self._bind(parameters)
        hints = self._hints(scope)
        self.code = StepCode(
            step_id,
            attribute,
            inspect.iscoroutinefunction(function),
            {p.name: self._decodable(p.name, hints.get(p.name, Any)) for p in parameters},
            self._decodable("return", hints.get("return", Any)),
            self.fan.over if self.fan and callable(self.fan.over) else None,
            mark.timeout_s,
            bool(mark.retry and mark.retry.from_scratch),
        )
        fan = self._fan_spec()
        self.spec = StepSpec(
            step_id,
            tuple(self.depends_on),
            self.binds,
            fan,
            mark.retry,
            mark.timeout_s,
            mark.queue_timeout_s,
            mark.queue or queue,
            mark.concurrency,
        )

    def _error(self, problem: str, parameter: str | None = None) -> DefinitionError:
        return DefinitionError(self.workflow, problem, step=self.id, parameter=parameter)

    def _parameters(self) -> list[inspect.Parameter]:
        parameters = list(inspect.signature(self.function).parameters.values())
        if len(parameters) < 2:
            raise self._error("needs the parameters (self, context, …)")
        for parameter in parameters[2:]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise self._error(
                    "cannot be bound: name each input and result as a parameter of its own, or "
                    "read context.input",
                    parameter.name,
                )
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise self._error("cannot be bound by name; remove the '/'", parameter.name)
        return parameters[2:]

    def _bind(self, parameters: list[inspect.Parameter]) -> None:
        unbound = [p for p in parameters if not self._bind_step(p)]
        if self.fan:
            item = self._item(unbound)
            self.item = item.name
            self.binds[item.name] = Bind(item=True)
            unbound.remove(item)
        single = unbound[0] if len(unbound) == 1 and len(self.mark.depends_on) == 1 else None
        for parameter in unbound:
            step = self.mark.depends_on[0] if parameter is single else None
            optional = parameter.default is not parameter.empty
            self.binds[parameter.name] = Bind(parameter.name, step, optional=optional)

    def _bind_step(self, parameter: inspect.Parameter) -> bool:
        """Bind a parameter that names a step; a step whose result is used is waited for."""
        for step in self.steps:
            if parameter.name in (step, f"{step}_result", f"{step}_results"):
                self.binds[parameter.name] = Bind(step=step)
                if step not in self.depends_on:
                    self.depends_on.append(step)
                return True
        return False

    def _item(self, unbound: list[inspect.Parameter]) -> inspect.Parameter:
        """The parameter that gets the item of a fan-out."""
        if not unbound:
            raise self._error("@parallel needs a parameter for the item, such as `chunk_id`")
        over = self.fan.over if self.fan else None
        if isinstance(over, str):
            named = [p for p in unbound if _singular(p.name) + "s" == over]
            return named[0] if named else unbound[0]
        if callable(over) or len(unbound) == 1:
            return unbound[0]
        numbered = [p for p in unbound if p.name.endswith("_id")]
        required = [p for p in unbound if p.default is p.empty]
        for candidates in (numbered, required):
            if len(candidates) == 1:
                return candidates[0]
        names = ", ".join(p.name for p in unbound)
        raise self._error(f"cannot tell which of {names} gets the item; say @parallel(over=…)")

    def _fan_spec(self) -> Fan | None:
        if not self.fan:
            return None
        return Fan(self._items_from(self.fan.over), self.fan.max_workers, self.fan.on_failure)

    def _items_from(self, over: Over | None) -> Bind:
        if callable(over):
            return Bind()
        source = over or _singular(self.item) + "s"
        if source not in self.steps:
            return Bind(source)
        if source not in self.depends_on:
            self.depends_on.append(source)
        return Bind(step=source)

    def _hints(self, scope: dict[str, Any]) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.function, localns=scope, include_extras=True)
        except (NameError, TypeError, SyntaxError) as error:
            raise self._error(f"its annotations cannot be read: {error}") from error

    def _decodable(self, parameter: str, kind: Any) -> Any:
        kind = type(None) if kind is None else kind
        try:
            msgspec.json.Decoder(kind)
            foreign = next(_foreign_types(msgspec.inspect.type_info(kind), set()), None)
        except TypeError as error:
            foreign = str(error)
        if foreign:
            raise self._error(
                f"annotation {describe(kind)} cannot be decoded from JSON ({foreign}). Use a "
                "dataclass, msgspec.Struct, TypedDict or builtin type",
                parameter,
            )
        return kind


def _foreign_types(info: Any, seen: set[int]) -> typing.Iterator[str]:
    """Names of the types within a type that msgspec can decode only with a hook."""
    if isinstance(info, msgspec.inspect.CustomType):
        if info.cls is not object:
            yield describe(info.cls)
    elif isinstance(info, tuple):
        for part in info:  # pyright: ignore[reportUnknownVariableType] - of unknown parts
            yield from _foreign_types(part, seen)
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field) and id(info) not in seen:
        seen.add(id(info))
        for name in info.__struct_fields__:
            yield from _foreign_types(getattr(info, name), seen)


def _singular(name: str) -> str:
    return name.removesuffix("_id")
