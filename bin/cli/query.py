"""Which workflows somebody means: by status, name, tags and time."""

from __future__ import annotations

import msgspec

from ..core.log import EventLog
from ..projections.listing import Summary, list_workflows
from .moments import read_age, read_moment
from .values import read_tags


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as it was given."""

    status: str | None = None
    name: str | None = None
    tags: list[str] | None = None
    since: str | None = None
    before: str | None = None
    older_than: str | None = None

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, field) for field in self.__struct_fields__)

    def check(self) -> None:
        """Raises typer.BadParameter for what cannot be read, before anything is asked."""
        read_tags(self.tags)
        self._times(0)

    async def find(self, log: EventLog, limit: int) -> list[Summary]:
        """The newest of them."""
        seconds, micros = await log.connection.call(log.redis.time)
        created_from, created_to = self._times(seconds * 1000 + micros // 1000)
        return await list_workflows(
            log,
            status=self.status,
            name=self.name,
            tags=read_tags(self.tags),
            created_from=created_from,
            created_to=created_to,
            limit=limit,
        )

    def _times(self, now_ms: int) -> tuple[int | None, int | None]:
        """First and last moment (not included), ms."""
        since = read_moment(self.since, "--since", now_ms) if self.since else None
        if self.older_than:
            return since, now_ms - read_age(self.older_than, "--older-than")
        return since, read_moment(self.before, "--before", now_ms) if self.before else None
