"""What every runtime promises. Each test runs once per runtime."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from agentainer_flow.core.errors import CannotLaunch
from agentainer_flow.reactors.runtimes.contract import LogLine
from agentainer_flow.reactors.runtimes.folder import folder_of

from ..polling import until
from .bench import ANSWER, COUNT_RUNS, READY, Bench, adopts, launch, nowhere
from .conftest import remains

pytestmark = pytest.mark.anyio


async def test_a_success_answers_with_its_result_file(bench: Bench) -> None:
    seen = await bench.run(launch(ANSWER + """answer(b'{"words": 7}'); print('not this')"""))
    assert seen.outcome.kind == "succeeded"
    assert seen.outcome.exit_code == 0
    assert json.loads(seen.outcome.result) == {"words": 7}


async def test_without_a_file_the_last_line_of_stdout_answers(bench: Bench) -> None:
    seen = await bench.run(launch("""print('working'); print('{"words": 8}'); print()"""))
    assert json.loads(seen.outcome.result) == {"words": 8}


async def test_a_long_last_line_of_stdout_answers_too(bench: Bench) -> None:
    seen = await bench.run(launch("import json; print(json.dumps('x' * 90_000))"))
    assert json.loads(seen.outcome.result) == "x" * 90_000


async def test_plain_text_is_no_answer(bench: Bench) -> None:
    seen = await bench.run(launch("print('all is well')"))
    assert (seen.outcome.kind, seen.outcome.result) == ("succeeded", "null")


async def test_a_code_other_than_0_is_a_failure(bench: Bench) -> None:
    seen = await bench.run(launch("import sys; print('oh no', file=sys.stderr); sys.exit(3)"))
    assert (seen.outcome.kind, seen.outcome.exit_code) == ("failed", 3)
    assert seen.outcome.reason == "exited with code 3"
    assert seen.outcome.last_lines == ["oh no"]


async def test_a_result_that_is_not_json_is_bad(bench: Bench) -> None:
    outcome = (await bench.run(launch(ANSWER + "answer(b'words: 7')"))).outcome
    assert (outcome.kind, outcome.exit_code, outcome.result) == ("bad_result", 0, "null")
    assert "not JSON" in outcome.reason
    assert "words: 7" in outcome.reason


async def test_a_result_above_the_limit_is_bad(bench: Bench) -> None:
    outcome = (await bench.run(launch(ANSWER + "answer(b'1' * 100_001)"))).outcome
    assert outcome.kind == "bad_result"
    assert "100,001 bytes, allowed are 100,000" in outcome.reason


@pytest.mark.parametrize("trick", ["symlink('/etc/passwd', path)", "mkfifo(path)", "mkdir(path)"])
async def test_a_result_that_is_no_plain_file_is_not_read(bench: Bench, trick: str) -> None:
    code = f"import os; path = os.environ['AGENTAINER_RESULT_PATH']; os.{trick}"
    outcome = (await bench.run(launch(code))).outcome
    assert (outcome.kind, outcome.result) == ("bad_result", "null")


async def test_an_agent_finds_the_contract_in_its_environment(bench: Bench) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = await bench.run(launch(code, env={"SOURCE": "s3://b", "AGENTAINER_STEP_ID": "forged"}))
    environment = json.loads(seen.outcome.result)
    assert environment["SOURCE"] == "s3://b"
    promised = {key: value for key, value in environment.items() if key.startswith("AGENTAINER_")}
    assert promised.pop("AGENTAINER_RESULT_PATH").endswith("/result.json")
    assert promised == {
        "AGENTAINER_WORKFLOW_ID": "w1",
        "AGENTAINER_STEP_ID": "prepare",
        "AGENTAINER_JOB_ID": "job-1",
        "AGENTAINER_TASK_INDEX": "2",
        "AGENTAINER_ATTEMPT": "1",
        "AGENTAINER_INPUT": "null",
    }


async def test_an_agent_does_not_see_the_secrets_of_the_launcher(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTAINER_REDIS_URL", "redis://:secret@db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    seen = await bench.run(launch("import os; print('secret' in str(os.environ))"))
    assert seen.texts() == ["False"]


async def test_both_streams_are_passed_on_line_by_line(bench: Bench) -> None:
    code = "import sys; print('a'); print('b', file=sys.stderr); print('c', end='')"
    seen = await bench.run(launch(code))
    assert (seen.texts("stdout"), seen.texts("stderr")) == (["a", "c"], ["b"])
    assert all(line.ts_ms > 1_700_000_000_000 for line in seen.lines)


async def test_long_lines_are_passed_on_in_pieces(bench: Bench) -> None:
    *pieces, last = (await bench.run(launch("print('x' * 150_000); print('y')"))).texts()
    assert [len(piece) for piece in pieces] == [65_536, 65_536, 18_928]
    assert last == "y"


async def test_bytes_that_are_no_text_are_replaced(bench: Bench) -> None:
    code = "import sys; sys.stdout.buffer.write(b'\\xff!\\n')"
    assert (await bench.run(launch(code))).texts() == ["\N{REPLACEMENT CHARACTER}!"]


async def test_lines_come_while_the_agent_runs(bench: Bench) -> None:
    job = launch(READY)
    async with bench.following(job) as seen:
        await seen.until("ready")
        await bench.runtime.stop(job)
    assert (seen.outcome.kind, seen.outcome.exit_code) == ("cancelled", 143)


async def test_an_agent_that_ignores_sigterm_is_killed_after_the_grace_period(bench: Bench) -> None:
    job = launch("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY, grace_s=1)
    async with bench.following(job) as seen:
        await seen.until("ready")
        await bench.runtime.stop(job)
    assert (seen.outcome.kind, seen.outcome.exit_code) == ("cancelled", 137)


async def test_an_agent_is_stopped_at_its_time_limit(bench: Bench) -> None:
    outcome = (await bench.run(launch(READY, timeout_s=0.5))).outcome
    assert (outcome.kind, outcome.exit_code) == ("timed_out", 143)
    assert outcome.reason == "stopped after its time limit of 0.5 s"


COUNT = """
import itertools, time
for n in itertools.count():
    print(n, flush=True)
    time.sleep(0.02)
"""


async def test_a_frozen_agent_stands_still_until_it_is_thawed(bench: Bench) -> None:
    job = launch(COUNT)
    async with bench.following(job) as seen:
        await seen.until("3")
        await bench.runtime.freeze(job)
        await bench.runtime.freeze(job)
        await anyio.sleep(0.2)  # what was on its way arrives
        still = len(seen.texts())
        await anyio.sleep(0.3)
        assert len(seen.texts()) == still
        await bench.runtime.thaw(job)
        await bench.runtime.thaw(job)
        await seen.until(str(still + 5))
        await bench.runtime.stop(job)


async def test_a_frozen_agent_can_be_stopped(bench: Bench) -> None:
    job = launch(READY)
    async with bench.following(job) as seen:
        await seen.until("ready")
        await bench.runtime.freeze(job)
        await bench.runtime.stop(job)
    assert (seen.outcome.kind, seen.outcome.exit_code) == ("cancelled", 143)


async def test_stop_and_remove_are_harmless_when_nothing_is_there(bench: Bench) -> None:
    job = launch("print(1)")
    await bench.runtime.stop(job)
    await bench.runtime.remove(job)
    assert (await bench.run(job)).outcome.kind == "succeeded"
    await bench.runtime.stop(job)
    await bench.runtime.remove(job)


async def test_a_stop_after_the_end_changes_nothing(bench: Bench) -> None:
    job = launch("print(1)")
    await bench.runtime.start(job)
    await bench.runtime.follow(job, nowhere)
    await bench.runtime.stop(job)
    assert (await bench.runtime.follow(job, nowhere)).kind == "succeeded"


async def test_an_ended_job_is_harvested_and_not_run_again(bench: Bench) -> None:
    job = launch(COUNT_RUNS)
    await bench.runtime.start(job)
    await bench.runtime.follow(job, nowhere)
    later = await bench.another()
    assert await adopts(later, job)
    assert (await later.follow(job, nowhere)).result == "1"


async def test_a_job_that_may_not_begin_leaves_nothing(bench: Bench, root: Path) -> None:
    async def never() -> bool:
        return False

    assert await bench.runtime.start(launch(COUNT_RUNS), never) is None
    assert await bench.runtime.leftovers() == []
    assert remains(root) == []


async def test_a_job_that_runs_is_adopted_without_asking(bench: Bench) -> None:
    async def never() -> bool:
        return False

    job = launch(COUNT_RUNS)
    await bench.runtime.start(job)
    started = await bench.runtime.start(job, never)
    assert started is not None
    assert started.adopted


async def test_a_job_that_was_stopped_and_is_wanted_again_is_begun_anew(bench: Bench) -> None:
    async with bench.following(launch(READY)) as seen:
        await seen.until("ready")
        await bench.runtime.stop(launch(READY))
    assert seen.outcome.kind == "cancelled"

    async def never() -> bool:
        return False

    stopped = await bench.runtime.start(launch(READY), never)
    assert stopped is not None
    assert stopped.adopted  # it is not wanted: its end has yet to be recorded
    assert not await adopts(bench.runtime, launch("print(1)"))
    outcome = await bench.runtime.follow(launch("print(1)"), nowhere)
    assert (outcome.kind, outcome.result) == ("succeeded", "1")


async def test_a_job_that_is_being_stopped_and_is_wanted_again_is_begun_anew(
    bench: Bench, root: Path, installation: str
) -> None:
    deaf = launch("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY)
    async with bench.following(deaf) as seen:
        await seen.until("ready")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.runtime.stop, deaf)
            await until(lambda: folder_of(root, installation, deaf).is_cancelled)
            assert not await adopts(bench.runtime, launch("print(1)"))
        outcome = await bench.runtime.follow(launch("print(1)"), nowhere)
    assert (outcome.kind, outcome.result) == ("succeeded", "1")


async def test_a_job_that_may_not_be_stopped_goes_on(bench: Bench) -> None:
    async def never() -> bool:
        return False

    async with bench.following(launch(READY)) as seen:
        await seen.until("ready")
        await bench.runtime.stop(launch(READY), never)
        assert await adopts(bench.runtime, launch(READY))
        assert seen.outcome.reason == "still followed"
        await bench.runtime.stop(launch(READY))
    assert seen.outcome.kind == "cancelled"


async def test_nobody_adopts_a_job_between_the_permit_to_stop_it_and_its_stop(
    bench: Bench,
) -> None:
    asked, answered = anyio.Event(), anyio.Event()
    adopted: list[bool] = []

    async def may_stop() -> bool:
        asked.set()
        await answered.wait()
        return True

    async def start_again() -> None:
        adopted.append(await adopts(await bench.another(), launch("print(1)")))

    async with bench.following(launch(READY)) as seen, anyio.create_task_group() as tasks:
        await seen.until("ready")
        tasks.start_soon(bench.runtime.stop, launch(READY), may_stop)
        await asked.wait()
        tasks.start_soon(start_again)
        await anyio.sleep(0.2)
        assert adopted == []
        answered.set()
    assert adopted == [False]


async def test_starts_of_one_job_at_once_run_it_once(bench: Bench) -> None:
    job = launch(COUNT_RUNS)
    others = [bench.runtime, *[await bench.another() for _ in range(3)]]
    adopted: list[bool] = []

    async def start(number: int) -> None:
        adopted.append(await adopts(others[number], job))

    async with anyio.create_task_group() as tasks:
        for number in range(len(others)):
            tasks.start_soon(start, number)
    assert sorted(adopted) == [False, True, True, True]
    assert (await bench.runtime.follow(job, nowhere)).result == "1"


async def test_whoever_follows_later_gets_all_lines_from_the_start(bench: Bench) -> None:
    job = launch("print('first', flush=True);" + READY)
    async with bench.following(job) as seen:
        await seen.until("ready")
        async with Bench(await bench.another(), bench.another).following(job) as later:
            await later.until("ready")
            await bench.runtime.stop(job)
    assert seen.texts() == later.texts() == ["first", "ready"]
    assert seen.outcome == later.outcome


async def test_a_follower_that_goes_away_leaves_the_job_alone(bench: Bench) -> None:
    job = launch(READY)
    with anyio.CancelScope() as scope:
        async with bench.following(job) as seen:
            await seen.until("ready")
            scope.cancel()
    async with bench.following(job) as seen:
        await seen.until("ready")
        await bench.runtime.stop(job)
    assert seen.outcome.kind == "cancelled"


async def test_an_error_of_the_sink_comes_out_as_it_is(bench: Bench) -> None:
    async def broken(lines: list[LogLine]) -> None:
        raise LookupError("no such stream")

    job = launch("print('one line')")
    await bench.runtime.start(job)
    with pytest.raises(LookupError, match="no such stream"):
        await bench.runtime.follow(job, broken)


async def test_leftovers_are_what_was_started_and_not_removed(bench: Bench) -> None:
    jobs = [launch("pass", job="job-1"), launch("pass", job="job-2")]
    for job in jobs:
        await bench.runtime.start(job)
    assert sorted(await bench.runtime.leftovers()) == [("w1", "job-1"), ("w1", "job-2")]
    await bench.runtime.remove(jobs[0])
    assert await bench.runtime.leftovers() == [("w1", "job-2")]


async def test_remove_kills_what_still_runs(bench: Bench) -> None:
    job = launch(READY)
    await bench.runtime.start(job)
    await bench.runtime.remove(job)
    assert await bench.runtime.leftovers() == []


async def test_remove_leaves_what_somebody_has_taken_over_meanwhile(bench: Bench) -> None:
    async def is_over() -> bool:
        return False

    job = launch("print('one line')")
    await bench.runtime.start(job)
    assert not await bench.runtime.remove(job, is_over)
    assert await bench.runtime.leftovers() == [("w1", job.job)]
    assert (await bench.run(job)).outcome.kind == "succeeded"
    assert await bench.runtime.leftovers() == []


async def test_a_missing_image_says_so_and_leaves_nothing(bench: Bench) -> None:
    job = launch("pass")
    with pytest.raises(CannotLaunch, match="no-such-agent") as caught:
        await bench.runtime.start(replace(job, image="no-such-agent:1", command=None))
    assert caught.value.kind == "image_missing"
    assert await bench.runtime.leftovers() == []


async def test_what_is_no_image_name_is_refused(bench: Bench) -> None:
    outcome = await bench.outcome(replace(launch("pass"), image="../../etc", command=None))
    assert outcome.kind == "image_missing"
    assert "is not an image name" in outcome.reason


async def test_a_missing_program_cannot_start(bench: Bench) -> None:
    outcome = await bench.outcome(replace(launch(""), command=("no-such-program", "x")))
    assert outcome.kind == "cannot_start"
    assert "no-such-program" in outcome.reason


async def test_an_input_too_large_for_the_environment_says_so(bench: Bench) -> None:
    outcome = await bench.outcome(replace(launch("pass"), input=json.dumps("x" * 200_000)))
    assert outcome.kind == "cannot_start"
    assert "AGENTAINER_INPUT has 200,019 bytes" in outcome.reason


async def test_a_job_that_was_never_started_is_lost(bench: Bench) -> None:
    assert (await bench.runtime.follow(launch("pass"), nowhere)).kind == "lost"


@pytest.mark.parametrize("name", ["{3}01k9", "a/b", "größe 🙂", "x" * 300, "..", "-"])
async def test_any_name_can_be_run(bench: Bench, name: str) -> None:
    job = replace(launch("print(1)", job=name), workflow=name)
    await bench.runtime.start(job)
    assert await bench.runtime.leftovers() == [(name, name)]
    assert (await bench.runtime.follow(job, nowhere)).kind == "succeeded"
