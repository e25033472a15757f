"""Queues, and processes that do jobs within limits; the processes are small programs that speak as `page.work` does."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from actionprompt.page import process
from actionprompt.page.jobs import FINAL, Jobs, QueueFull, Work
from actionprompt.page.process import Bounds, Cancelled, Failed, Worker
from actionprompt.page.videos import Disk, NoSpace

SPEAKER = """
import json, os, sys, time
def say(**answer): print(json.dumps(answer), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if "cancel" in message:
        say(cancelled=True)
        continue
    task = message["task"]
    exec(task["code"])
"""
WIDE = Bounds(seconds=60, memory_bytes=1 << 40)
DEAF = "time.sleep(60)"
"""Does not see that it is cancelled."""


def worker() -> Worker:
    return Worker(module=("-c", SPEAKER))


def run(code: str, bounds: Bounds = WIDE) -> dict:
    async def go() -> dict:
        own = worker()
        try:
            return await own.do({"code": code}, bounds)
        finally:
            await own.stop()

    return asyncio.run(go())


def test_an_answer_and_progress():
    told = []

    async def go() -> list[dict]:
        own = worker()
        code = 'say(progress={"done": 1}); say(progress={"done": 2}); say(done={"pid": os.getpid()})'
        answers = [await own.do({"code": code}, WIDE, told.append) for _ in range(2)]
        assert own.pid == answers[0]["pid"]
        await own.stop()
        assert own.pid is None
        assert not psutil.pid_exists(answers[0]["pid"])
        return answers

    first, second = asyncio.run(go())
    assert first == second, "one process does both"
    assert told == [{"done": 1}, {"done": 2}] * 2


def test_a_failure_is_told_with_its_kind():
    with pytest.raises(Failed, match="no video") as caught:
        run('say(failed="no video", limit=True)')
    assert caught.value.limit


@pytest.mark.parametrize(
    ("code", "reason"), [("os._exit(3)", "with exit code 3"), ("os.kill(os.getpid(), 9)", "by signal 9")]
)
def test_a_process_that_dies_fails_its_task_and_the_next_one_works(code, reason):
    async def go() -> None:
        own = worker()
        with pytest.raises(Failed, match=reason):
            await own.do({"code": code}, WIDE)
        assert await own.do({"code": "say(done={})"}, WIDE) == {}
        await own.stop()

    asyncio.run(go())


def test_time_memory_and_disk_are_limited():
    with pytest.raises(Failed, match=r"longer than 0\.01 minutes") as caught:
        run(DEAF, Bounds(seconds=0.6, memory_bytes=1 << 40))
    assert caught.value.limit
    with pytest.raises(Failed, match=r"needed 0\.\d GB of memory, and the limit is 0.1 GB"):
        run("x = bytearray(300_000_000); time.sleep(60)", Bounds(60, 100_000_000))
    with pytest.raises(Failed, match="the disk is full"):
        run(DEAF, Bounds(60, 1 << 40, lambda: "the disk is full"))


def test_memory_of_a_grandchild_counts_and_it_dies_too():
    code = (
        "import subprocess; c = subprocess.Popen([sys.executable, '-c', "
        "'x = bytearray(300_000_000); import time; time.sleep(60)']); say(progress={'pid': c.pid}); time.sleep(60)"
    )
    told = []

    async def go() -> None:
        own = worker()
        with pytest.raises(Failed, match="of memory"):
            await own.do({"code": code}, Bounds(60, 200_000_000), told.append)

    asyncio.run(go())
    until = time.monotonic() + 5
    while psutil.pid_exists(told[0]["pid"]) and time.monotonic() < until:
        if psutil.Process(told[0]["pid"]).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        assert not psutil.pid_exists(told[0]["pid"])


def test_a_task_that_does_not_leave_is_killed(monkeypatch):
    monkeypatch.setattr(process, "CANCEL_S", 0.2)

    async def go() -> None:
        own = worker()
        doing = asyncio.create_task(own.do({"code": DEAF}, WIDE))
        await asyncio.sleep(0.5)
        await own.cancel()
        with pytest.raises(Cancelled):
            await doing
        assert await own.do({"code": "say(done={})"}, WIDE) == {}
        await own.stop()

    asyncio.run(go())


def test_a_cancel_that_comes_while_the_process_starts_is_not_lost():
    async def go() -> None:
        own = worker()
        doing = asyncio.create_task(own.do({"code": DEAF}, WIDE))
        await asyncio.sleep(0)
        await own.cancel()
        with pytest.raises(Cancelled):
            await doing
        await own.stop()

    asyncio.run(go())


# Queues ---------------------------------------------------------------------------------------------------------------


def made(tmp_path: Path, **options) -> Jobs:
    defaults = {"max_queue": 2, "max_jobs": 3, "seconds": 60.0, "memory_bytes": 1 << 40}
    found = Jobs(tmp_path / "jobs", Disk(tmp_path, 10**9), **(defaults | options))
    found.workers = {lane: worker() for lane in found.workers}
    return found


def work(code: str, kind: str = "predict", **options) -> Work:
    return Work(kind, "title", {"code": code}, Path(), ("v",), {}, **options)


async def until_final(one: Work) -> Work:
    while one.state not in FINAL:
        await asyncio.wait_for(one.changed.wait(), 20)
    return one


def go_with(jobs: Jobs, steps) -> None:
    async def go() -> None:
        running = asyncio.create_task(jobs.run())
        try:
            await steps()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(go())


def test_jobs_wait_in_order_and_say_their_place(tmp_path):
    jobs = made(tmp_path)
    order = []

    async def steps() -> None:
        first = jobs.add(work("time.sleep(0.5); say(done={})", done=lambda w: order.append("first")))
        await asyncio.wait_for(first.changed.wait(), 5)
        second, third = (jobs.add(work("say(done={})", done=lambda w, n=n: order.append(n))) for n in ("2nd", "3rd"))
        assert (jobs.place(first), jobs.place(second), jobs.place(third)) == (None, 1, 2)
        assert first.state == "running"
        with pytest.raises(QueueFull, match="2 jobs wait; try again in") as caught:
            jobs.add(work("say(done={})"))
        assert caught.value.retry_after_s >= 1
        await until_final(second)
        assert jobs.place(third) is None or jobs.place(third) == 1
        assert (await until_final(third)).state == "done"
        assert order == ["first", "2nd", "3rd"]
        assert all(one.seconds is not None for one in (first, second, third))

    go_with(jobs, steps)


def test_a_preview_does_not_wait_for_a_training(tmp_path):
    jobs = made(tmp_path)

    async def steps() -> None:
        training = jobs.add(work("time.sleep(30); say(done={})", "teach"))
        assert (await until_final(jobs.add(work("say(done={})", "preview")))).state == "done"
        assert training.state == "running"
        await jobs.cancel(training)

    process.CANCEL_S, before = 0.1, process.CANCEL_S
    try:
        go_with(jobs, steps)
    finally:
        process.CANCEL_S = before


def test_a_job_that_waits_is_cancelled_at_once_and_its_files_go(tmp_path):
    jobs = made(tmp_path, max_queue=3)
    undone = []

    async def steps() -> None:
        first = jobs.add(work("time.sleep(0.3); say(done={})"))
        second = jobs.add(work("say(done={})", undone=undone.append))
        third = jobs.add(work("say(done={})"))
        assert second.folder.is_dir()
        await jobs.cancel(second)
        assert (second.state, jobs.place(third), undone) == (
            "cancelled",
            1 if first.state == "running" else 2,
            [second],
        )
        assert not second.folder.exists()
        assert (await until_final(third)).state == "done"

    go_with(jobs, steps)


def test_what_a_failed_job_wrote_is_deleted_and_what_a_done_one_wrote_counts(tmp_path):
    jobs = made(tmp_path)
    write = "open(task['folder'] + '/result.json', 'w').write('x' * 1000);"

    async def steps() -> None:
        failed = await until_final(jobs.add(work(write + "say(failed='no')")))
        assert (failed.state, failed.error, failed.folder.exists()) == ("failed", "no", False)
        assert jobs.disk.used_bytes == 0
        done = await until_final(jobs.add(work(write + "say(done={'files': ['json']})")))
        assert (done.suffixes, jobs.disk.used_bytes) == (("json",), 1000)
        jobs.delete(done)
        assert (jobs.disk.used_bytes, done.folder.exists(), done.id in jobs.works) == (0, False, False)

    go_with(jobs, steps)


def test_what_was_found_damaged_is_said_with_the_job(tmp_path):
    jobs = made(tmp_path)

    async def steps() -> None:
        done = await until_final(jobs.add(work("say(done={'notices': ['a cached file was damaged']})")))
        assert done.notices == ("a cached file was damaged",)

    go_with(jobs, steps)


def test_a_fault_of_what_follows_a_job_does_not_stop_the_queue(tmp_path):
    jobs = made(tmp_path)

    async def steps() -> None:
        first = await until_final(jobs.add(work("say(done={})", done=lambda w: 1 / 0)))
        assert (first.state, "ZeroDivisionError" in first.error) == ("failed", True)
        assert (await until_final(jobs.add(work("say(done={})")))).state == "done"

    go_with(jobs, steps)


def test_the_oldest_finished_jobs_are_forgotten(tmp_path):
    jobs = made(tmp_path)

    async def steps() -> None:
        made_jobs = [await until_final(jobs.add(work("say(done={})"))) for _ in range(6)]
        assert list(jobs.works) == [one.id for one in made_jobs[2:]]  # the newest was not finished when it was added
        assert not made_jobs[0].folder.exists()

    go_with(jobs, steps)


def test_a_full_disk_takes_no_jobs(tmp_path):
    jobs = made(tmp_path)
    jobs.disk.taken[tmp_path] = 10**9 + 1
    with pytest.raises(NoSpace, match="more than 1 GB, the quota"):
        jobs.add(work("say(done={})"))
    assert not jobs.works


def test_watchers_see_the_last_state_however_fast_it_came(tmp_path):
    jobs = made(tmp_path)
    code = "".join(f"say(progress={{'what': 'x', 'done': {i}, 'total': 500}});" for i in range(500)) + "say(done={})"

    async def steps() -> None:
        one = jobs.add(work(code))
        states = [(seen.state, seen.progress.done if seen.progress else None) async for seen in jobs.watch(one)]
        assert states[-1] == ("done", None)
        assert len(states) < 60, "a watcher is not told of every step"

    go_with(jobs, steps)


def test_a_watcher_of_a_deleted_job_is_let_go(tmp_path):
    jobs = made(tmp_path)

    async def steps() -> None:
        one = jobs.add(work("say(done={})"))
        seen = [seen.state async for seen in jobs.watch(one)]
        jobs.delete(one)
        assert seen[-1] == "done"

    go_with(jobs, steps)


def test_the_process_ends_with_its_server(tmp_path):
    """`work` ends when nobody can give it tasks any more, even in the middle of one."""
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "actionprompt.page.work"], stdin=reading, stdout=subprocess.PIPE, text=True
    )
    os.close(reading)
    os.write(writing, json.dumps({"task": {"do": "nothing", "folder": str(tmp_path)}}).encode() + b"\n")
    assert "fault of the program (KeyError" in json.loads(child.stdout.readline())["failed"]
    os.close(writing)
    assert child.wait(10) == 0
