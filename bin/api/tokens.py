"""Who calls: what a token reaches."""

from __future__ import annotations

import msgspec

from .operations import Scope

#: A scope reaches what those before it reach, too.
ORDER: tuple[Scope, ...] = ("read", "write", "admin")


class Caller(msgspec.Struct, frozen=True):
    """Where a request comes from. `workflow` bounds the token of an agent to its own."""

    name: str = "anonymous"
    scope: Scope = "admin"
    workflow: str | None = None

    def reaches(self, scope: Scope) -> bool:
        return ORDER.index(scope) <= ORDER.index(self.scope)
