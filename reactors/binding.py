"""What the tasks of a step get: arguments from inputs and results, items of a fan-out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import msgspec

from ..core.definition import Bind, Definition, StepSpec
from ..core.events import Blob, Failure
from ..core.outcomes import error_of
from ..projections.workflow import Result, StepView, WorkflowView

_encode = msgspec.json.Encoder().encode
_Items = int | list[msgspec.Raw]
_decode_items: Callable[[bytes | msgspec.Raw], _Items] = msgspec.json.Decoder(_Items).decode


#: The largest fan-out over a count.
MOST = 1_000_000


class Args(msgspec.Struct, omit_defaults=True):
    """Arguments that all tasks of a step share. Blobs are fetched by who runs the task."""

    values: dict[str, msgspec.Raw] = {}
    #: (parameter, position in its list or -1 for the whole value, digest)
    blobs: list[tuple[str, int, str]] = []
    #: (parameter, position in its list) of tasks that failed: `TaskError`s.
    errors: list[tuple[str, int]] = []
    #: The parameter that gets the task's item.
    item: str | None = None


class Cache(msgspec.Struct):
    """What decisions on one workflow had to look up; a cache, so it may be empty at any time."""

    #: Payloads that lie beside the log, by digest.
    blobs: dict[str, bytes] = {}
    #: Items of fan-outs under way, by step.
    items: dict[str, Sequence[msgspec.Raw]] = {}


class Count(Sequence[msgspec.Raw]):
    """The items 0, 1, 2 … of a fan-out over a count."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> msgspec.Raw: ...
    @overload
    def __getitem__(self, index: slice) -> list[msgspec.Raw]: ...
    def __getitem__(self, index: int | slice) -> msgspec.Raw | list[msgspec.Raw]:
        if isinstance(index, slice):
            return [msgspec.Raw(b"%d" % number) for number in range(self._size)[index]]
        return msgspec.Raw(b"%d" % range(self._size)[index])


class NotItems(Exception):
    """Raised when a step is to fan out over something that is no count and no list."""


class NeedsBlob(Exception):
    """Raised when a decision needs a payload that lies beside the log."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


def bind(definition: Definition, step: StepSpec, view: WorkflowView) -> Args:
    """Collect the arguments of a step whose dependencies have completed."""
    args = Args()
    for parameter, source in step.binds.items():
        if source.item:
            args.item = parameter
        elif source.input is not None and source.input in view.input:
            _put(args, parameter, view.input[source.input])
        elif source.step is not None:
            _bind_result(args, parameter, definition.by_id[source.step], view)
    return args


def _bind_result(args: Args, parameter: str, source: StepSpec, view: WorkflowView) -> None:
    step = view.step(source.id)
    if source.parallel:
        results = [_outcome(step, index) for index in range(step.total)]
        args.values[parameter] = join(results)
        args.blobs += [
            (parameter, i, r.digest) for i, r in enumerate(results) if isinstance(r, Blob)
        ]
        args.errors += [(parameter, index) for index in step.failures]
        return
    _put(args, parameter, step.results[0])


def _put(args: Args, parameter: str, value: Result) -> None:
    if isinstance(value, Blob):
        args.blobs.append((parameter, -1, value.digest))
    else:
        args.values[parameter] = value


def _outcome(step: StepView, index: int) -> Result:
    """The result of a task, or the error in its place."""
    if index in step.results:
        return step.results[index]
    failure = step.tasks[index].error or Failure("Unknown", "it failed without saying why")
    return msgspec.Raw(_encode(error_of(index, failure)))


def join(results: Sequence[Result]) -> msgspec.Raw:
    """One JSON list of results in item order; null where a payload lies beside the log."""
    parts = [b"null" if isinstance(result, Blob) else bytes(result) for result in results]
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


_ONE = [msgspec.Raw(b"null")]


def items(
    definition: Definition, step: StepSpec, view: WorkflowView, cache: Cache
) -> Sequence[msgspec.Raw]:
    """The items of a fan-out as JSON; a plain step has one, null.

    Raises NotItems when the source is neither a count nor a list, NeedsBlob when it lies beside
    the log and is not in the cache.
    """
    if step.parallel is None:
        return _ONE
    if step.id not in cache.items:
        cache.items[step.id] = _read_items(definition, step, step.parallel.over, view, cache)
    return cache.items[step.id]


def _read_items(
    definition: Definition, step: StepSpec, over: Bind, view: WorkflowView, cache: Cache
) -> Sequence[msgspec.Raw]:
    try:
        found = _decode_items(_source(definition, step, over, view, cache.blobs))
    except msgspec.DecodeError as error:
        raise NotItems(
            f"step {step.id!r} fans out over {_name(step)}, "
            f"which must be a count or a list: {error}"
        ) from error
    if isinstance(found, list):
        return found
    if not 0 <= found <= MOST:
        raise NotItems(
            f"step {step.id!r} fans out over {_name(step)}, which is {found:,}; "
            f"a count is 0 to {MOST:,}"
        )
    return Count(found)


def _source(
    definition: Definition, step: StepSpec, over: Bind, view: WorkflowView, blobs: dict[str, bytes]
) -> bytes | msgspec.Raw:
    if step.id in view.items:
        return view.items[step.id]
    if over.step is None:
        return _load(view.input.get(over.input or "", msgspec.Raw(b"null")), blobs)
    if definition.by_id[over.step].parallel:
        return join_payloads(view, over.step, blobs)
    return _load(view.step(over.step).results[0], blobs)


def join_payloads(view: WorkflowView, name: str, blobs: dict[str, bytes]) -> bytes:
    step = view.step(name)
    parts = [bytes(_load(_outcome(step, index), blobs)) for index in range(step.total)]
    return b"[" + b",".join(parts) + b"]"


def _load(result: Result, blobs: dict[str, bytes]) -> bytes | msgspec.Raw:
    if not isinstance(result, Blob):
        return result
    if result.digest not in blobs:
        raise NeedsBlob(result.digest)
    return blobs[result.digest]


def result_of(definition: Definition, view: WorkflowView, blobs: dict[str, bytes]) -> bytes:
    """The JSON a run returns: the last step's result, a dict by name when several steps end it."""
    values = {name: _step_result(definition.by_id[name], view, blobs) for name in definition.ends}
    if len(values) == 1:
        (value,) = values.values()
        return bytes(value)
    return _encode({name: msgspec.Raw(bytes(value)) for name, value in values.items()})


def _step_result(
    step: StepSpec, view: WorkflowView, blobs: dict[str, bytes]
) -> bytes | msgspec.Raw:
    if step.parallel:
        return join_payloads(view, step.id, blobs)
    return _load(view.step(step.id).results[0], blobs)


def _name(step: StepSpec) -> str:
    over = step.parallel.over if step.parallel else Bind()
    return f"the result of step {over.step!r}" if over.step else f"input {over.input!r}"
