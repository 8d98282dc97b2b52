"""How the end of an agent becomes an outcome, the same in every runtime."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

import msgspec

from ...core.payloads import MAX_DEPTH, is_too_deep
from .contract import Launch, Outcome, OutcomeKind
from .output import Output

StopKind = Literal["cancelled", "timed_out"]
Cause = Literal["oom_killed", "cannot_start"]

#: Results above this many bytes are refused unless the runtime is told otherwise.
RESULT_LIMIT = 16 * 1024 * 1024


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime saw of the end. An exit code of None means that nobody knows it."""

    exit_code: int | None
    #: Set when it was us who ended it.
    stopped: StopKind | None = None
    #: Set when the runtime knows more than the exit code says.
    cause: Cause | None = None
    #: In words, when the exit code alone does not say it.
    reason: str = ""


class BadAnswer(Exception):
    """Raised inside this package when a success comes without a usable result."""


class LostAnswer(Exception):
    """Raised inside this package when the answer may be in output that is lost."""


def outcome(
    launch: Launch, ending: Ending, output: Output, result: Path, limit: int = RESULT_LIMIT
) -> Outcome:
    """Judge the end of an agent whose result file is `result` on this host."""
    kind, reason = _classify(launch, ending)
    answer = "null"
    if kind == "succeeded":
        try:
            answer = _read_answer(result, output, limit)
        except BadAnswer as error:
            kind, reason = "bad_result", str(error)
        except LostAnswer as error:
            kind, reason = "lost", str(error)
    return Outcome(
        kind=kind,
        reason=reason,
        exit_code=ending.exit_code,
        result=answer,
        last_lines=output.last_lines,
    )


def _classify(launch: Launch, ending: Ending) -> tuple[OutcomeKind, str]:
    """Name the kind and the reason. Stopping comes first: it explains every exit code after it."""
    match ending:
        case Ending(stopped="timed_out"):
            return "timed_out", f"stopped after its time limit of {launch.limits.timeout_s} s"
        case Ending(stopped="cancelled"):
            return "cancelled", "stopped on request"
        case Ending(cause="oom_killed" | "cannot_start" as cause):
            return cause, ending.reason
        case Ending(exit_code=None):
            return "lost", ending.reason
        case Ending(exit_code=0):
            return "succeeded", ""
        case _:
            return "failed", ending.reason or _say_code(ending.exit_code)


def _say_code(code: int | None) -> str:
    if code is not None and code > 128:
        return f"exited with code {code}, ended by signal {code - 128} from outside or by itself"
    return f"exited with code {code}"


def _read_answer(result: Path, output: Output, limit: int) -> str:
    """Read the result file; without one the last line of stdout, when that is JSON."""
    raw = _read_file(result, limit)
    if raw is not None:
        return _checked(raw)
    try:
        return _checked(output.last_stdout)
    except BadAnswer as error:
        if output.has_gaps:
            raise LostAnswer(
                "it ended well, but Docker was away while it ran, and lost what it printed then; "
                "an answer in the file at AGENTAINER_RESULT_PATH would be here"
            ) from error
        return "null"


def _read_file(path: Path, limit: int) -> bytes | None:
    """Read what the agent left, trusting nothing: it may be a link to a secret, or a pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadAnswer(f"the result file cannot be read: {error.strerror}") from error
    try:
        return _read_all(handle, limit)
    finally:
        os.close(handle)


def _read_all(handle: int, limit: int) -> bytes:
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        raise BadAnswer("the result path holds something that is not a plain file")
    if facts.st_size > limit:
        raise BadAnswer(
            f"the result has {facts.st_size:,} bytes, allowed are {limit:,}; "
            "store large data elsewhere and answer with its place"
        )
    with os.fdopen(handle, "rb", closefd=False) as file:
        return file.read(limit)


def _checked(raw: bytes) -> str:
    if is_too_deep(raw):
        raise BadAnswer(f"the result is nested more than {MAX_DEPTH} levels deep; flatten it")
    try:
        msgspec.json.decode(raw)
        return raw.decode().strip()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        shown = raw[:60].decode(errors="replace")
        raise BadAnswer(f"the result is not JSON ({error}): {shown!r}") from error
