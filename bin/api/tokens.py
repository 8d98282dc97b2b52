"""Who calls: what a token reaches."""

from __future__ import annotations

import msgspec

from ..core.tokens import SCOPES, Scope


class Caller(msgspec.Struct, frozen=True):
    """Where a request comes from. `workflow` bounds the token of an agent to its own."""

    name: str = "anonymous"
    scope: Scope = "admin"
    workflow: str | None = None

    def reaches(self, scope: Scope) -> bool:
        return SCOPES.index(scope) <= SCOPES.index(self.scope)
