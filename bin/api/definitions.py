"""Definitions: what workflows can be created of."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.definition import Definition
from ..core.registrations import InputSpec, Registration, find_registration, list_registrations
from ..sdk.creation import registration_of
from .calls import Call
from .operations import Answer, Operation, Reply
from .patterns import Text


class DefinitionResource(msgspec.Struct, frozen=True, kw_only=True):
    """The latest definition of a name. Workflows keep the graph that they were created with."""

    name: Text
    kind: Text
    #: Names this version of the graph.
    digest: Text
    #: `module:class` of one that is written in Python.
    code: str
    inputs: list[InputSpec]
    #: Arguments of its `__init__` that must be given.
    init: list[str]
    #: Steps whose items only its code can compute: create its workflows where the code is.
    computed: list[str]
    #: The graph: steps with what they depend on, and their rules.
    graph: dict[str, Any]


class DefinitionList(msgspec.Struct, frozen=True):
    items: list[DefinitionResource]


async def list_all(call: Call) -> Answer:
    known = {one.name: one for one in await list_registrations(call.log)}
    known |= {code.name: registration_of(code) for code in call.api.codes.values()}
    return Answer(DefinitionList([await _resource(call, known[name]) for name in sorted(known)]))


async def get(call: Call) -> Answer:
    name = call.path["name"]
    if code := call.api.codes.get(name):
        return Answer(_made(registration_of(code), code.definition))
    return Answer(await _resource(call, await find_registration(call.log, name)))


async def _resource(call: Call, one: Registration) -> DefinitionResource:
    if code := call.api.codes.get(one.name):
        return _made(one, code.definition)
    return _made(one, await call.log.get_definition(one.definition))


def _made(one: Registration, definition: Definition) -> DefinitionResource:
    return DefinitionResource(
        name=one.name,
        kind=one.kind,
        digest=one.definition,
        code=one.code,
        inputs=one.inputs,
        init=one.init,
        computed=one.computed,
        graph=msgspec.json.decode(definition.json),
    )


OPERATIONS = (
    Operation(
        "GET",
        "/definitions",
        "listDefinitions",
        "List definitions",
        list_all,
        "definitions",
        {200: Reply("All that are registered, by name.", DefinitionList)},
        text="Whoever serves a workflow class registers it; so does the first workflow of a graph.",
    ),
    Operation(
        "GET",
        "/definitions/{name}",
        "getDefinition",
        "Get a definition",
        get,
        "definitions",
        {200: Reply("The definition.", DefinitionResource)},
        problems=("not-found",),
    ),
)
