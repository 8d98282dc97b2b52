"""What is left of jobs on a host: nothing of one that has settled, nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from .story import Story
from .violation import Violation


class Remains(msgspec.Struct, frozen=True):
    """A container, or the folder of a local process, with whose it is."""

    name: str
    workflow: str
    job: str
    running: bool = False


def check_remains(
    found: Iterable[Remains], stories: Mapping[str, Story], *, all_known: bool
) -> Iterator[Violation]:
    """`all_known`: the stories are those of all workflows there are."""
    remains = [one for one in found if all_known or one.workflow in stories]
    for (workflow, name), times in Counter((one.workflow, one.job) for one in remains).items():
        if times > 1:
            yield Violation(workflow, 0, 8, f"{times} containers are there of job {name}")
    for one in remains:
        story = stories.get(one.workflow)
        job = story.jobs.all.get(one.job) if story else None
        how = "runs" if one.running else "is there"
        if job is None:
            text = f"{one.name} {how}, and no log knows of its job {one.job}"
            yield Violation(one.workflow, 0, 8, text)
        elif job.status == "settled":
            text = f"{one.name} {how}, its job {one.job} has settled at {job.settled_version}"
            yield Violation(one.workflow, job.settled_version, 8, text)
