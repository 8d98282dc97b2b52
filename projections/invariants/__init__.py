"""An independent reading of logs and keys: every invariant of the design that can be seen there."""

from .check import check_log, tell
from .containers import Remains, check_remains
from .counts import Counts, Spread, count, spread
from .effects import check_effects, read_effects
from .entries import Entry, Raw
from .feed import check_feed
from .graph import Graph, decode_graph
from .kept import Kept, check_kept
from .leftovers import check_leftovers, check_owned, check_places, owned
from .limits import check_limits
from .projected import check_projections
from .shared import Counters, Lane, Partition, Shared, check_shared
from .story import Story
from .violation import KEYS, Notes, Violation

__all__ = [
    "KEYS",
    "Counters",
    "Counts",
    "Entry",
    "Graph",
    "Kept",
    "Lane",
    "Notes",
    "Partition",
    "Raw",
    "Remains",
    "Shared",
    "Spread",
    "Story",
    "Violation",
    "check_effects",
    "check_feed",
    "check_kept",
    "check_leftovers",
    "check_limits",
    "check_log",
    "check_owned",
    "check_places",
    "check_projections",
    "check_remains",
    "check_shared",
    "count",
    "decode_graph",
    "owned",
    "read_effects",
    "spread",
    "tell",
]
