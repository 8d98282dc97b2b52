"""What is left in Redis of an archived workflow: where its history is, and what listings show.

`workflow:<id>:archived` stays as long as the file does: without it nobody would find that.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from ..core.definition import Definition
from .documents import document, iso
from .workflow import WorkflowView

SUFFIX = ".agflow.gz"


class Tombstone(msgspec.Struct, frozen=True):
    #: Where the archive was, and the file in it.
    archive: str
    path: str
    #: Of the last event, and the status that it left.
    version: int
    digest: str
    status: str
    #: Size of the file.
    bytes: int
    archived_ms: int
    #: A `Summary` as JSON.
    summary: msgspec.Raw


_SUMMARY = (
    "id",
    "name",
    "status",
    "version",
    "created_at",
    "updated_at",
    "started_at",
    "ended_at",
    "tags",
)


def path_of(view: WorkflowView, namespace: str) -> str:
    """Where the history of a workflow is in the archive.

    By month of its end; the digest of the last event is part of the name, so that no other history
    is ever written over it.
    """
    month = (iso(view.ended_ms or view.updated_ms) or "")[:7].replace("-", "/")
    folder = quote(namespace, safe="") or "_"
    return f"{folder}/{month}/{quote(view.id, safe='')}-{view.digest}{SUFFIX}"


def bury(
    view: WorkflowView,
    definition: Definition,
    *,
    archive: str,
    path: str,
    size: int,
    now_ms: int,
) -> Tombstone:
    shown = document(view, definition)
    steps = [{"id": step.id, "status": step.status} for step in shown.steps]
    summary = {name: getattr(shown, name) for name in _SUMMARY}
    raw = msgspec.Raw(msgspec.json.encode({**summary, "steps": steps, "archived": True}))
    return Tombstone(archive, path, view.version, view.digest, view.status, size, now_ms, raw)


encode_tombstone = msgspec.json.Encoder().encode
decode_tombstone = msgspec.json.Decoder(Tombstone).decode
