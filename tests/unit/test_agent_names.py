from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core.errors import CannotLaunch
from agentainer_flow.reactors.runtimes.folder import job_name
from agentainer_flow.reactors.runtimes.image import bare_name

parts = st.text(st.sampled_from("ab.-_/{é"), max_size=4) | st.text(max_size=200)
triples = st.tuples(parts, parts, parts)


@given(triples)
def test_every_job_has_a_name_that_docker_and_the_disk_take(job: tuple[str, str, str]) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,119}", job_name(*job))


@given(triples, triples)
def test_different_jobs_have_different_names(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (job_name(*one) == job_name(*other)) == (one == other)


def test_a_plain_job_has_a_readable_name() -> None:
    assert job_name("home", "01k9", "fetch-1") == "agentainer.home.01k9.fetch-1"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("fetcher", "fetcher"),
        ("fetcher:1.2", "fetcher"),
        ("team/fetcher:1.2", "team/fetcher"),
        ("ghcr.io/team/fetcher", "team/fetcher"),
        ("localhost:5000/fetcher:latest", "fetcher"),
        ("fetcher:1@sha256:0123abcd", "fetcher"),
    ],
)
def test_registry_tag_and_digest_are_no_part_of_the_name(image: str, name: str) -> None:
    assert bare_name(image) == name


@pytest.mark.parametrize("image", ["", "..", "../x", "a//b", "a b", "/etc", "a@b", "x\n"])
def test_what_is_no_image_name_is_refused(image: str) -> None:
    with pytest.raises(CannotLaunch, match="is not an image name"):
        bare_name(image)
