"""The API as a process: `agentainer up --port` and `agentainer serve`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from .scene import Process, Scene, kill, stop, until

FLOWS = Path(__file__).with_name("api_flows.py")
ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def url_of(scene: Scene, process: Process) -> str:
    """Where a process serves the API, once it says so."""
    until(lambda: "ready" in scene.said(process) or process.poll() is not None)
    found = re.search(r"^api +(http://\S+?),", scene.said(process), re.MULTILINE)
    assert found, scene.said(process)
    return found[1]


def populate(url: str) -> None:
    """Something of everything, for links to lead to."""
    with httpx.Client(base_url=url, timeout=30) as http:
        assert http.post("/webhooks", json={"url": "http://127.0.0.1:9/"}).status_code == 201
        for name in ("waits", "asks"):
            body: dict[str, object] = {"name": name, "start": True}
            wait = {"Prefer": "wait=20"} if name == "asks" else {}
            assert http.post("/workflows", json=body, headers=wait).status_code == 201


@pytest.mark.timeout(300)
def test_generated_requests_find_nothing_to_complain_about(scene: Scene) -> None:
    """All checks on all operations, the stateful ones along the links included."""
    scene.environment["AGENTAINER_WEBHOOK_ALLOW"] = "127.0.0.0/8"
    process = scene.serve("up", str(FLOWS), "--port", "0")
    url = url_of(scene, process)
    populate(url)
    command = [
        *(str(SCHEMATHESIS), "--config-file", str(ROOT / "tests" / "schemathesis.toml")),
        *("run", f"{url}/openapi.json"),
        *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", "8", "--seed", "7", "--generation-database", "none"),
    ]
    done = subprocess.run(command, cwd=scene.folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-8000:]
    assert stop(process) == 0
    assert "Traceback" not in scene.said(process)


def test_a_server_without_code_creates_what_others_carry(scene: Scene) -> None:
    scene.serve("up", str(FLOWS))
    with httpx.Client(base_url=url_of(scene, scene.serve("serve", "--port", "0"))) as http:
        until(lambda: http.get("/definitions/quick").status_code == 200)
        body: dict[str, object] = {"name": "quick", "start": True}
        made = http.post("/workflows", json=body, headers={"Prefer": "wait=20"}, timeout=30)
        assert made.json()["status"] == "completed"


def test_a_killed_server_is_replaced_without_a_seam(scene: Scene) -> None:
    """What a client saw last from one server is where the next one goes on."""
    scene.serve("up", str(FLOWS))
    first = scene.serve("serve", "--port", "0")
    seen: list[str] = []
    with httpx.Client(base_url=url_of(scene, first)) as http:
        until(lambda: http.get("/definitions/quick").status_code == 200)
        for _ in range(3):
            http.post("/workflows", json={"name": "quick", "start": True})
        page = http.get("/events?limit=7").json()
        seen += [event["id"] for event in page["items"]]
        position = page["next"]
    kill(first)
    with httpx.Client(base_url=url_of(scene, scene.serve("serve", "--port", "0"))) as http:
        until(lambda: len(http.get("/workflows?status=completed").json()["items"]) == 3)
        page = http.get("/events", params={"after": position, "limit": 500}).json()
        everything = http.get("/events?limit=500").json()["items"]
    seen += [event["id"] for event in page["items"]]
    assert sorted(seen) == sorted(event["id"] for event in everything)
    assert len(seen) == len(set(seen))


def test_it_stops_while_streams_are_open(scene: Scene) -> None:
    process = scene.serve("serve", "--port", "0")
    headers = {"Accept": "text/event-stream"}
    with (
        httpx.Client(base_url=url_of(scene, process), timeout=20) as http,
        http.stream("GET", "/events", headers=headers) as stream,
    ):
        lines = stream.iter_lines()
        assert any("caught_up" in line for line in lines)
        process.terminate()
        assert [line for line in lines if line.startswith("data")] != ["never"]
    assert process.wait(timeout=5) == 0


def test_an_address_that_is_taken_is_said(scene: Scene) -> None:
    port = url_of(scene, scene.serve("serve", "--port", "0")).rpartition(":")[2]
    second = scene.serve("serve", "--port", port)
    assert second.wait(timeout=20) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in scene.said(second)


@pytest.mark.parametrize("name", ["README.md", "docs/guides/api.md"])
def test_the_graph_in_the_documents_runs(scene: Scene, name: str) -> None:
    bodies = re.findall(r"-d '(\{.*?\})'", (ROOT / name).read_text(), re.DOTALL)
    (body,) = [body for body in bodies if '"steps"' in body]
    scene.environment["AGENTAINER_AGENTS"] = str(ROOT / "examples" / "agents")
    headers = {"Prefer": "wait=60", "Content-Type": "application/json"}
    with httpx.Client(base_url=url_of(scene, scene.serve("up", "--port", "0"))) as http:
        made = http.post("/workflows", content=body, headers=headers, timeout=70).json()
    assert made["status"] == "completed", made
    assert made["result"]["chunks"] == 10
