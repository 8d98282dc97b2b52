"""What went wrong, as RFC 9457 has it: a catalogue of types, each with its status and page."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..core.errors import (
    DefinitionError,
    DefinitionNotFound,
    FlowError,
    IdempotencyConflict,
    InputError,
    PayloadError,
    QueueFull,
    RedisUnavailable,
    Refused,
    VersionConflict,
    WorkflowNotFound,
)
from .patterns import Text

MEDIA_TYPE = "application/problem+json"


class Kind(msgspec.Struct, frozen=True):
    """A type of problem. `slug` and `status` never change; `remedy` says what a caller can do."""

    slug: str
    status: int
    title: str
    remedy: str


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field: a JSON Pointer into the body, or the name of a parameter."""

    detail: str
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    parameter: str | msgspec.UnsetType = msgspec.UNSET


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Every answer that is no success has this body, as `application/problem+json`."""

    #: Names the problem for programs, and is the path of its page here.
    type: Text
    title: Text
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: str = ""
    #: The request that it is about.
    instance: str = ""
    errors: list[FieldError] = []
    #: Of the workflow, where that was in the way.
    workflow_status: str = ""
    workflow_version: int = 0


KINDS = {
    kind.slug: kind
    for kind in (
        Kind(
            "invalid-request",
            400,
            "The request does not fit the API",
            "`errors` names each field; /openapi.json says what it takes.",
        ),
        Kind(
            "unauthorized",
            401,
            "A valid token is needed",
            "Send `Authorization: Bearer TOKEN`. `agentainer token create NAME` makes one.",
        ),
        Kind(
            "forbidden",
            403,
            "The token does not reach that",
            "Use a token with the scope that `detail` names.",
        ),
        Kind("not-found", 404, "There is no such thing here", "Check the id or the path."),
        Kind(
            "method-not-allowed",
            405,
            "The resource has no such method",
            "The header Allow lists those that it has.",
        ),
        Kind(
            "not-acceptable",
            406,
            "The answer has none of the accepted media types",
            "`detail` lists those that it has.",
        ),
        Kind(
            "conflict",
            409,
            "The workflow's status does not allow that",
            "`workflow_status` says what it is; read it again.",
        ),
        Kind(
            "name-taken",
            409,
            "A definition in Python has that name",
            "Give the graph another name.",
        ),
        Kind(
            "precondition-failed",
            412,
            "The workflow has another version",
            "Read it again, and send If-Match with its ETag.",
        ),
        Kind(
            "too-large",
            413,
            "The body is larger than allowed",
            "Store large data elsewhere and send where it is (AGENTAINER_API_BODY_LIMIT).",
        ),
        Kind(
            "unsupported-media-type",
            415,
            "The body has a media type that is not read here",
            "Send `Content-Type: application/json`.",
        ),
        Kind(
            "misdirected",
            421,
            "The request is for another host",
            "Use the address of the server, or serve with tokens.",
        ),
        Kind(
            "unprocessable",
            422,
            "What the body asks for cannot be done",
            "`detail` says what was expected and got.",
        ),
        Kind(
            "idempotency-conflict",
            422,
            "The idempotency key was used for another request",
            "Take a new key for a new request.",
        ),
        Kind(
            "precondition-required",
            428,
            "The change must say which version it is meant for",
            "Send If-Match with the ETag of the workflow.",
        ),
        Kind(
            "queue-full",
            429,
            "A queue of the workflow is full; nothing was created",
            "Try again after the seconds of the header Retry-After.",
        ),
        Kind(
            "too-many-requests",
            429,
            "More requests than are served at a time",
            "Try again after the seconds of the header Retry-After.",
        ),
        Kind("internal", 500, "The server failed", "Its log says why."),
        Kind(
            "unavailable",
            503,
            "Redis does not answer",
            "Try again after the seconds of the header Retry-After, with the same Idempotency-Key.",
        ),
    )
}

#: Seconds after which a client may ask again when Redis was away.
RETRY_AFTER = 5


class Problem(Exception):
    """Raised where a request cannot be answered as asked."""

    def __init__(
        self,
        slug: str,
        detail: str = "",
        *,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
        workflow_status: str = "",
        workflow_version: int = 0,
    ) -> None:
        super().__init__(detail or KINDS[slug].title)
        self.kind = KINDS[slug]
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}
        self.workflow_status = workflow_status
        self.workflow_version = workflow_version

    def document(self, instance: str) -> ProblemDocument:
        return ProblemDocument(
            type=f"/problems/{self.kind.slug}",
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            instance=instance,
            errors=self.errors,
            workflow_status=self.workflow_status,
            workflow_version=self.workflow_version,
        )


def problem_of(error: FlowError) -> Problem:
    """How an error of the package is told over HTTP."""
    match error:
        case WorkflowNotFound() | DefinitionNotFound():
            return Problem("not-found", str(error))
        case VersionConflict(version=version):
            return Problem("precondition-failed", str(error), workflow_version=version)
        case Refused(status=status, version=version):
            return Problem("conflict", str(error), workflow_status=status, workflow_version=version)
        case IdempotencyConflict():
            return Problem("idempotency-conflict", str(error))
        case QueueFull(retry_after=seconds):
            return Problem(
                "queue-full", str(error), headers={"Retry-After": str(int(seconds) or 1)}
            )
        case DefinitionError() | InputError() | PayloadError():
            return Problem("unprocessable", str(error))
        case RedisUnavailable():
            return unavailable()
        case _:
            return Problem("internal", str(error))


def unavailable() -> Problem:
    return Problem(
        "unavailable", "Redis does not answer in time", headers={"Retry-After": str(RETRY_AFTER)}
    )


def not_found(what: str) -> Problem:
    return Problem("not-found", f"there is no {what}")
