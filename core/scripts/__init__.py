"""The Lua scripts, one typed function each. Nothing else writes to Redis.

A script is called by name, and loaded when the server does not know it. Arguments and answers are
MessagePack, which costs a tenth of what as many Redis arguments do; text only, for Redis' Lua knows
no binary type of it.
"""

from __future__ import annotations

from .deliveries import DeliveryScripts
from .feeds import FeedScripts
from .jobs import JobScripts
from .keeping import KeepingScripts
from .lanes import LaneScripts
from .state import StateScripts
from .work import WorkScripts


class Scripts(
    WorkScripts,
    JobScripts,
    StateScripts,
    LaneScripts,
    FeedScripts,
    DeliveryScripts,
    KeepingScripts,
):
    """Call the scripts on one Redis. Each call may be repeated: the guards make that harmless."""
