"""Every metric, by name, and what one process counts of them.

Counters and histograms belong to the process that saw what they count; gauges are read when
somebody asks (`sdk/gauges.py`). `EventLog.instruments` is None where nobody does, and then nothing
is counted.

A metric has one name for OpenTelemetry; Prometheus' follows from it by the rules that collectors go
by, so both ways agree. No label is ever an id: `definition`, `step` and `queue` are words of code,
so there are as many values as code has names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

#: Upper bounds of buckets, s: of calls, of what people wait for, and of what may take days.
QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
LONG = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1800, 3600, 14400, 86400)

#: Sets of labels that one metric keeps; what comes beyond is counted together.
MOST_SETS = 1000
#: What all labels of that one are.
OVERFLOW = "other"

_UNITS = {"s": "seconds", "By": "bytes", "1": "ratio"}

Labels = tuple[str, ...]


class Metric(msgspec.Struct, frozen=True, eq=False):
    """What there is to know of one metric. `unit` is in UCUM, as OpenTelemetry writes it."""

    name: str
    kind: Kind
    unit: str
    text: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """Its name in Prometheus."""
        unit = _UNITS.get(self.unit)
        name = self.name.replace(".", "_") + (f"_{unit}" if unit else "")
        return f"{name}_total" if self.kind == "counter" else name


class Histogram(msgspec.Struct):
    """Observations by bucket (the last one has no bound), and their sum."""

    counts: list[int]
    sum: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)


Value = float | Histogram


class Sample(msgspec.Struct, frozen=True):
    """A metric with one set of labels, and its value now."""

    metric: Metric
    labels: Labels
    value: Value


class Instruments:
    """Counters and histograms of one process. All of it is used on one event loop."""

    def __init__(self) -> None:
        self._counters: dict[Metric, dict[Labels, float]] = {one: {} for one in COUNTERS}
        self._histograms: dict[Metric, dict[Labels, Histogram]] = {one: {} for one in HISTOGRAMS}

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        values = self._counters[metric]
        if labels not in values:
            labels = _bounded(values, labels)
            values.setdefault(labels, 0.0)
        values[labels] += by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        self.observe_all(metric, (value,), *labels)

    def observe_all(self, metric: Metric, values: Iterable[float], *labels: str) -> None:
        """Observe values that have the same labels; a task of a large fan-out costs a µs then."""
        histogram = self._histogram(metric, labels)
        bounds, counts, total = metric.bounds, histogram.counts, 0.0
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            total += value if value > 0 else 0.0  # clocks are set back
        histogram.sum += total

    def _histogram(self, metric: Metric, labels: Labels) -> Histogram:
        found = self._histograms[metric]
        histogram = found.get(labels)
        if histogram is None:
            labels = _bounded(found, labels)
            histogram = found.setdefault(labels, Histogram([0] * (len(metric.bounds) + 1)))
        return histogram

    def samples(self) -> Iterator[Sample]:
        """Copies, so that what is counted later does not change them."""
        for metric, values in self._counters.items():
            for labels, value in list(values.items()):
                yield Sample(metric, labels, value)
        for metric, histograms in self._histograms.items():
            for labels, one in list(histograms.items()):
                yield Sample(metric, labels, Histogram(list(one.counts), one.sum))


def _bounded(known: dict[Labels, float] | dict[Labels, Histogram], labels: Labels) -> Labels:
    """The labels under which something new is kept."""
    return labels if len(known) < MOST_SETS else (OVERFLOW,) * len(labels)


def _counter(name: str, unit: str, text: str, *labels: str) -> Metric:
    return Metric(f"agentainer.{name}", "counter", unit, text, labels)


def _seconds(name: str, text: str, *labels: str, bounds: tuple[float, ...] = LONG) -> Metric:
    return Metric(f"agentainer.{name}", "histogram", "s", text, labels, bounds)


def _gauge(name: str, unit: str, text: str, *labels: str) -> Metric:
    return Metric(f"agentainer.{name}", "gauge", unit, text, labels)


# By the engine of a workflow, once what it decided is in the log or the feed brought it.
WORKFLOWS_STARTED = _counter(
    "workflows.started", "{workflow}", "Workflows that were started.", "definition"
)
WORKFLOWS_FINISHED = _counter(
    "workflows.finished",
    "{workflow}",
    "Workflows that ended: completed, failed or cancelled.",
    "definition",
    "result",
)
WORKFLOW_DURATION = _seconds(
    "workflow.duration", "From start to end of workflows.", "definition", "result"
)
STEP_DURATION = _seconds(
    "step.duration",
    "From when a step could begin until it ended: completed, failed or cancelled.",
    "definition",
    "step",
    "result",
)
QUEUE_WAIT = _seconds(
    "task.queue_wait",
    "From when their step could begin until a worker took tasks, told when the step ends. "
    "Repeated tasks do not count.",
    "definition",
    "step",
    "queue",
    bounds=SHORT,
)
TASKS_RETRIED = _counter(
    "tasks.retried", "{task}", "Failed tasks that are tried again.", "definition", "step"
)
TASKS_LOST = _counter(
    "tasks.lost",
    "{task}",
    "Tasks taken back from workers that fell silent or stopped before the tasks ended.",
    "definition",
    "step",
)
TASKS_POISONED = _counter(
    "tasks.poisoned",
    "{task}",
    "Tasks that failed because each worker that ran them was lost.",
    "definition",
    "step",
)

# By the worker that ran a task.
TASK_DURATION = _seconds(
    "task.duration",
    "From when a worker took a task until it had ended: completed or failed. One per attempt.",
    "definition",
    "step",
    "result",
)

# By the launcher of an agent.
JOB_LAUNCH = _seconds(
    "job.launch",
    "From when a launcher took an agent until it ran: launched, adopted or failed.",
    "runtime",
    "result",
    bounds=SHORT,
)
JOB_DURATION = _seconds(
    "job.duration", "From when an agent ran here until it ended.", "runtime", "result"
)
JOBS_FINISHED = _counter(
    "jobs.finished",
    "{job}",
    "Agents that ended: succeeded, cancelled, or what went wrong.",
    "result",
)

# By whoever calls Redis.
APPEND_DURATION = _seconds(
    "append.duration",
    "From when an append was asked for until it was in the log, or refused. Waits while Redis is "
    "away count.",
    "call",
    bounds=QUICK,
)
APPENDS_REFUSED = _counter(
    "appends.refused",
    "{append}",
    "Appends that were not made: fenced, claim_lost, conflict, mismatch or full.",
    "reason",
)

# By the courier.
WEBHOOK_DELIVERIES = _counter(
    "webhook.deliveries",
    "{attempt}",
    "Attempts to deliver to a webhook: delivered, retried (it failed and is made again) or failed.",
    "result",
)
WEBHOOK_DURATION = _seconds(
    "webhook.duration", "How long receivers of webhooks took to answer.", "result", bounds=SHORT
)

# Gauges of one process.
SSE_CLIENTS = _gauge("sse.clients", "{client}", "Streams of events and logs that are open here.")
BUILD_INFO = _gauge("build.info", "", "Always 1; says which version this is.", "version")

# Gauges of the installation, read from Redis.
QUEUE_DEPTH = _gauge("queue.depth", "{task}", "Tasks that wait for a worker.", "queue")
QUEUE_OLDEST = _gauge("queue.oldest", "s", "How long the oldest of them has waited.", "queue")
QUEUE_RUNNING = _gauge("queue.running", "{task}", "Tasks that run.", "queue")
QUEUE_LIMIT = _gauge("queue.limit", "{task}", "Tasks that may run at a time, if limited.", "queue")
QUEUE_DEPTH_LIMIT = _gauge(
    "queue.depth_limit", "{task}", "Tasks that may wait, if limited; more are refused.", "queue"
)
WORKFLOWS_ACTIVE = _gauge(
    "workflows.active", "{workflow}", "Workflows that have not ended, by status.", "status"
)
JOBS_WAITING = _gauge("jobs.waiting", "{job}", "Agents that wait for a launcher.")
TIMERS_DUE = _gauge("timers.due", "{timer}", "Timers that are due and did not happen yet.")
TIMERS_LATE = _gauge("timers.late", "s", "How late the first of them is.")
SLOTS = _gauge(
    "slots",
    "{slot}",
    "Slots of living workers (tasks) and launchers (agents), used and free.",
    "role",
    "host",
    "state",
)
PROCESSES = _gauge("processes", "{process}", "Living processes that have the role.", "role")
LANES_UNOWNED = _gauge("lanes.unowned", "{lane}", "Partitions that no scheduler serves.")
REACTOR_LAG = _gauge(
    "reactor.lag",
    "{entry}",
    "Appends that a reactor has yet to read, 1,000 at the most where Redis does not count them.",
    "reactor",
    "partition",
)
REACTOR_LAG_AGE = _gauge(
    "reactor.lag_age",
    "s",
    "How long the oldest of them has been there.",
    "reactor",
    "partition",
)
PROJECTION_LAG = _gauge(
    "projection.lag",
    "{event}",
    "Events that a projection is behind the workflow that is furthest ahead of it.",
    "projection",
)
PROJECTION_LAG_AGE = _gauge(
    "projection.lag_age",
    "s",
    "How long the oldest event that a projection lacks has been there.",
    "projection",
)
PARKED = _gauge(
    "subscription.parked", "{event}", "Events that a subscription set aside.", "subscription"
)
WEBHOOKS_DUE = _gauge("webhook.due", "{delivery}", "Deliveries to webhooks that are due.")

METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
COUNTERS = tuple(one for one in METRICS if one.kind == "counter")
HISTOGRAMS = tuple(one for one in METRICS if one.kind == "histogram")
