"""What a launch is compared with: docker-py's create, start and wait, with our options.

As a launcher does, it removes a container while the next one is being launched.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import msgspec

from agentainer_flow.reactors.runtimes.container import Image, container_options, host_options
from agentainer_flow.reactors.runtimes.contract import Launch
from agentainer_flow.reactors.runtimes.folder import JobFolder, folder_of

from .flows import IMAGE, NOTHING

INSTALLATION = "bench"
POOL = 64


def launches_ms(root: Path, count: int, *, at_a_time: int) -> list[float]:
    """Milliseconds of each of `count` launches."""
    api: Any = docker.from_env(max_pool_size=POOL).api  # it has no types
    image = msgspec.convert(api.inspect_image(IMAGE), Image)
    cpus = int(api.info()["NCPU"])
    with ThreadPoolExecutor() as removing, ThreadPoolExecutor(at_a_time) as launching:

        def launch(index: int) -> float:
            job = _job(index)
            folder = folder_of(root, INSTALLATION, job)
            options = container_options(job, image, INSTALLATION, folder)
            folder.path.mkdir(parents=True)
            folder.prepare()
            begun = time.perf_counter()
            host = api.create_host_config(**host_options(job, folder, cpus))
            container = api.create_container(IMAGE, host_config=host, **options)["Id"]
            api.start(container)
            api.wait(container)
            took = time.perf_counter() - begun
            removing.submit(_remove, api, container, folder)
            return took * 1000

        launch(count)  # the first of all takes longer
        taken = list(launching.map(launch, range(count)))
    api.close()
    return taken


def _job(index: int) -> Launch:
    return Launch(
        workflow="bench",
        step="launch",
        index=index,
        attempt=1,
        job=f"launch-{index}-agent",
        image=IMAGE,
        command=tuple(NOTHING),
    )


def _remove(api: Any, container: str, folder: JobFolder) -> None:
    api.remove_container(container, v=True, force=True)
    folder.remove()
