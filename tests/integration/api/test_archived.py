"""The HTTP API answers of archived workflows as it did before."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.archiver import archive_due

from .scene import open_scene

pytestmark = pytest.mark.anyio


async def test_an_archived_workflow_answers_as_before(settings: Settings, tmp_path: Path) -> None:
    archiving = msgspec.structs.replace(settings, archive=str(tmp_path / "a"), log_ttl=0.001)
    async with open_scene(archiving) as scene:
        ended = (await scene.run("greet", name="Ada"))["id"]
        base = f"/workflows/{ended}"
        targets = [base, f"{base}/events?limit=2", f"{base}/events?after=2", f"{base}/steps"]
        before = [(await scene.http.get(target)).json() for target in targets]
        assert (await archive_due(scene.log, 0)).count == 1
        assert [(await scene.http.get(target)).json() for target in targets] == before
        (listed,) = (await scene.get("/workflows"))["items"]
        assert (listed["id"], "archived" in listed) == (ended, False)

        answer = await scene.put(f"{base}/pause")
        assert (answer.status_code, answer.json()["workflow_status"]) == (409, "completed")
        assert (await scene.http.delete(base)).status_code == 204
        assert (await scene.http.get(base)).status_code == 404
        assert [path for path in (tmp_path / "a").rglob("*") if path.is_file()] == []
