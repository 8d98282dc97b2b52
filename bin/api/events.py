"""Events: of one workflow or of all, in pages, as lines, or as a stream that goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

import anyio
import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..core.cloudevents import BATCH_MEDIA_TYPE, CloudEvent, type_filter
from ..sdk.feed import Feed
from ..sdk.following import Follower, Message, Wanted, WorkflowFollower, from_the_start, public
from ..sdk.positions import BadPosition, Position, parse_position
from .calls import Call
from .conditions import etag
from .dispatch import check_room, counted
from .operations import Answer, Operation, Reply
from .patterns import Limit, Name, Tag, tags_of
from .problems import FieldError, Problem
from .reading import read_version
from .resources import relation
from .streams import JSON, NDJSON, SSE, ndjson, sse

EventType = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9_.*-]+$",
        examples=["workflow.completed", "task.*"],
        description="A type, or the beginning of some with a `*` behind it.",
    ),
]
Types = Annotated[list[EventType], Meta(max_length=50)]


class EventsQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    #: Events above this version.
    after: Annotated[int, Meta(ge=0, le=10**15)] = 0
    type: Types = []
    limit: Limit = 100


class AllEventsQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    #: Events after the one with this id in the stream; 0: everything, `now`: only what comes.
    after: Annotated[
        str, Meta(max_length=2000, pattern="^(0|now|[fs]:[0-9a-z.:@_~-]{1,1990})$")
    ] = "0"
    type: Types = []
    #: Definitions whose workflows are wanted.
    name: Annotated[list[Name], Meta(max_length=50)] = []
    #: Tags that the workflows have to have, all of them.
    tag: Annotated[list[Tag], Meta(max_length=10)] = []
    limit: Limit = 100


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    items: list[CloudEvent]
    #: What to give as `after` to go on from here; the page may be empty and not the last.
    next: int | str | UnsetType = UNSET
    #: What is here does not continue what came before: that is no longer on the feed.
    resync: bool | UnsetType = UNSET


#: Events looked at for one page.
LOOKED_AT = 5000
#: Seconds that a page of all events may be looked for.
PATIENCE = 5.0

OF_ONE = (JSON, BATCH_MEDIA_TYPE, NDJSON, SSE)

STREAM_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache"}


async def list_of_workflow(call: Call) -> Answer:
    query: EventsQuery = call.query
    media_type = call.accepts(OF_ONE)
    version = await read_version(call.log, call.workflow)
    if media_type in (JSON, BATCH_MEDIA_TYPE):
        return await _page(call, query, version, media_type)
    check_room(call.api)
    after = _version(call.conditions.last_event_id, query.after)
    feed = call.api.followed()
    follower = WorkflowFollower(feed, call.workflow, after, type_filter(query.type))
    return _stream(call, media_type, follower.messages(idle=call.api.heartbeat))


async def _page(call: Call, query: EventsQuery, version: int, media_type: str) -> Answer:
    """A page of the log: its events are looked at in order, those that are wanted returned."""
    takes = type_filter(query.type)
    about = await call.api.feed.abouts.get(call.workflow)
    items: list[CloudEvent] = []
    last, most = query.after, query.after + LOOKED_AT
    while last < min(version, most) and len(items) < query.limit:
        found = await call.log.read(call.workflow, after=last, limit=query.limit, archived=True)
        for recorded in found:
            last = recorded.version
            if takes(recorded.type):
                items.append(public(call.workflow, about, recorded).event)
            if len(items) == query.limit:
                break
    return _paged(call, items, last if last < version else None, media_type, etag(version))


def _paged(
    call: Call, items: list[CloudEvent], after: int | str | None, media_type: str, tag: str = ""
) -> Answer:
    headers = {"ETag": tag} if tag else {}
    if after is not None:
        headers["Link"] = relation("next", call.next_page(after=str(after)))
    body: Any = items
    if media_type == JSON:
        body = EventPage(items=items, next=UNSET if after is None else after)
    return Answer(body, headers=headers, media_type=media_type)


def _stream(call: Call, media_type: str, messages: AsyncGenerator[Message, None]) -> Answer:
    stream = sse(messages, call.api.heartbeat) if media_type == SSE else ndjson(messages)
    return Answer(stream=counted(call.api, stream), media_type=media_type, headers=STREAM_HEADERS)


def _version(last_event_id: str | None, after: int) -> int:
    if last_event_id is None or last_event_id == "":
        return after
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 15:
        raise _bad_id("last-event-id", "is no version of this workflow")
    return int(last_event_id)


async def list_of_all(call: Call) -> Answer:
    query: AllEventsQuery = call.query
    media_type = call.accepts(OF_ONE)
    check_room(call.api)
    feed = call.api.followed()
    wanted = Wanted(
        type_filter(query.type),
        frozenset(query.name),
        tags_of(query.tag),
    )
    position = await _position(call, feed, query.after)
    if media_type in (JSON, BATCH_MEDIA_TYPE):
        return await _page_of_all(call, Follower(feed, wanted, position), query.limit, media_type)
    follower = Follower(feed, wanted, position)
    return _stream(call, media_type, follower.messages(idle=call.api.heartbeat))


async def _position(call: Call, feed: Feed, after: str) -> Position | None:
    """Where to begin; None when that is no place of this stream."""
    last = call.conditions.last_event_id
    if last is None and after == "0":
        return await from_the_start(feed)
    if last is None and after == "now":
        return await feed.end()
    try:
        return parse_position(last or after, call.log.keys.partitions)
    except BadPosition:
        return None


async def _page_of_all(call: Call, follower: Follower, limit: int, media_type: str) -> Answer:
    items: list[CloudEvent] = []
    resync, full = False, ""
    # With a filter that takes little there may be much to look at: the rest is for the next page.
    with anyio.move_on_after(PATIENCE):
        async with aclosing(follower.stored()) as messages:
            async for message in messages:
                resync = resync or message.word == "resync"
                if message.public is not None:
                    items.append(message.public.event)
                if len(items) == limit:
                    full = message.position
                    break
    page = _paged(call, items, full or str(follower.position), media_type)
    if resync and isinstance(page.body, EventPage):
        return replace(page, body=msgspec.structs.replace(page.body, resync=True))
    return page


def _bad_id(name: str, detail: str) -> Problem:
    return Problem(
        "invalid-request", f"{name} {detail}", errors=[FieldError(detail, parameter=name)]
    )


_STREAMS = (
    "By `Accept`: a page of JSON, a CloudEvents batch, lines of JSON with all that is stored, or a "
    "stream of Server-Sent Events: first what is stored, then `caught_up`, then what comes. "
    "`Last-Event-ID` goes on exactly after an event. `resync` says that what follows does not "
    "continue what came before, `end` that nothing follows; comments are signs of life."
)

OPERATIONS = (
    Operation(
        "GET",
        "/workflows/{workflow}/events",
        "listEvents",
        "Events of a workflow",
        list_of_workflow,
        "events",
        {200: Reply("Events in order.", EventPage, OF_ONE, headers=("ETag", "Link"))},
        text=_STREAMS,
        query=EventsQuery,
        resumes=True,
        for_agents=True,
        problems=("not-found", "not-acceptable", "too-many-requests"),
    ),
    Operation(
        "GET",
        "/events",
        "listAllEvents",
        "Events of all workflows",
        list_of_all,
        "events",
        {200: Reply("Events; those of one workflow in order.", EventPage, OF_ONE)},
        text=_STREAMS,
        query=AllEventsQuery,
        resumes=True,
        problems=("not-acceptable", "too-many-requests"),
    ),
)
