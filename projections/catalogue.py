"""The live projections: what is kept of logs so that it need not be folded each time.

Each is written in one script with its position, and can be made anew from the logs
(`agentainer rebuild`). Its schema number grows when what is written changes: what another release
wrote is found by it.
"""

from __future__ import annotations

import msgspec

from . import snapshots


class Projection(msgspec.Struct, frozen=True):
    name: str
    schema: int
    #: What it is, and where its position is.
    text: str
    position: str


#: The schema of the state is the one that scripts write (`parts/listings.lua`).
PROJECTIONS = (
    Projection(
        "documents", 1, "document, list of steps and sets of agents of a workflow", "meta doc_v"
    ),
    Projection("listings", 1, "workflows by time, status, name and tag", "meta doc_v"),
    Projection("state", 1, "state of a workflow, key by key", "meta v"),
    Projection("snapshots", snapshots.SCHEMA, "views of long logs", "snapshot v"),
)

BY_NAME = {one.name: one for one in PROJECTIONS}
DOCUMENTS, LISTINGS, STATE, SNAPSHOTS = (one.name for one in PROJECTIONS)
#: What `project.lua` writes beside the position: the schemas of documents and listings.
WRITTEN = f"{BY_NAME[DOCUMENTS].schema}.{BY_NAME[LISTINGS].schema}"
