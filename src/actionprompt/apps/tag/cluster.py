"""The engine of a cluster: a Ray Data pipeline in which tasks read and actors hold the towers.

An item is a batch of the list, so that no schedule changes a score. Ray Data holds reading back when the towers fall
behind, starts a task or an actor again when its process ends, and hands over answers in any order.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from actionprompt import data
from actionprompt.apps.tag.source import printable, require
from actionprompt.apps.tag.work import Answers, Frames, Job, Reader, Tower, read_apart

STORE_BYTES = 300 << 20
"""Of the object store of a cluster that is started here, next to the model."""
BATCHES_PER_BLOCK = 8
"""Batches that are handed to a reading task together, at most."""
CONNECT_S = 10.0
CALLS_PER_PROCESS = 100
"""Blocks that a reading process takes before a new one takes its place, for decoders that leak."""


def check(precision: str = "float32") -> None:
    """Raise ValueError where Ray is missing, or a model of that precision cannot be sent to its actors."""
    require("ray", "pyarrow", extra="cluster")
    if precision == "int8":
        raise ValueError("expected float32 or bf16 with ray: int8 weights are packed for one processor, not to be sent")


def run(job: Job, *, actors: int = 1, address: str | None = None) -> Generator[Answers, None, None]:
    """The answers to all batches, in any order, from the cluster at an address, or from one that is started here and
    ended with this.

    Raises:
        ValueError: no such cluster, one that is too small, or scores that are not finite.
    """
    check(job.predictor.precision)
    if address is not None:
        _check_answers(address)
    from ray.exceptions import RayError

    with _cluster(job, actors, address):
        import ray

        try:
            job.predictor.method.cpu()
            predictor = ray.put(job.predictor)  # held here, for actors that are started again
            answers = _pipeline(job, predictor, actors)
            for block in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from (_answers(row, job) for row in block.to_pylist())
        except RayError as error:
            cause = getattr(error, "cause", None) or error
            text = " ".join(str(cause).split())[:500]
            raise ValueError(f"the cluster gave up: {type(cause).__name__}: {text}") from None


def _check_answers(address: str) -> None:
    """Raise ValueError where nobody answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no cluster of Ray answers at {address} ({getattr(error, 'strerror', None) or error})"
        ) from None


@contextmanager
def _cluster(job: Job, actors: int, address: str | None) -> Iterator[None]:
    """A cluster, quietly: the one that this process is connected to, or the one at an address, or one of its own."""
    import ray
    import ray.data

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of a default that will change
    for name in ("ray", "ray.data"):  # ray.data gets its handlers with the import
        logging.getLogger(name).setLevel(logging.ERROR)
    options: dict[str, Any] = {"address": address}
    if address is None:  # also where RAY_ADDRESS names a cluster
        weights = sum(tensor.nbytes for tensor in job.predictor.method.state_dict().values())
        options = {
            "address": "local",
            "num_cpus": job.num_workers + actors,
            "object_store_memory": STORE_BYTES + 2 * weights,
        }
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False, **options)
    except Exception as error:  # a bare one where its processes do not start in time
        raise ValueError(f"no cluster of Ray: {' '.join(str(error).split())}") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray puts its own in the place of ours
                signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _pipeline(job: Job, predictor: Any, actors: int) -> Any:
    """The data set of answers: a row per batch."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = 1 << 20  # every batch is handed on as soon as it is read
    has = ray.cluster_resources()
    on_gpus = has.get("GPU", 0) > 0
    if has.get("GPU" if on_gpus else "CPU", 0) < actors + (not on_gpus):
        number = has.get("GPU", 0) if on_gpus else has.get("CPU", 0) - 1
        raise ValueError(f"expected at most {number:g} --actors in this cluster, got {actors}")
    reader = Reader.of(job.predictor, job.source.base)
    batches = ray.data.from_arrow(list(_blocks(job)))
    tasks = ray.data.TaskPoolStrategy(size=job.num_workers)
    # An option that the towers do not have keeps Ray from fusing the two, which would decode in the actors.
    frames = batches.map(_read, fn_args=(reader,), num_cpus=1, max_calls=CALLS_PER_PROCESS, compute=tasks)
    return frames.map(
        _Towers, fn_constructor_args=([predictor], job.embeddings, "cuda" if on_gpus else "cpu"),
        num_cpus=0 if on_gpus else 1, num_gpus=1 if on_gpus else 0,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )  # fmt: skip


def _blocks(job: Job) -> Iterator[Any]:
    """The batches as tables with their first row and their texts, some in each."""
    import pyarrow as pa

    per_block = max(1, min(BATCHES_PER_BLOCK, len(job.batches) // (8 * job.num_workers)))
    for start in range(0, len(job.batches), per_block):
        bounds = [job.batches[i] for i in range(start, min(start + per_block, len(job.batches)))]
        texts = [job.source.rows.slice(first, stop - first).to_pylist() for first, stop in bounds]
        yield pa.table({"first": [first for first, _ in bounds], "texts": pa.array(texts, pa.list_(pa.binary()))})


def _read(row: dict[str, Any], reader: Reader) -> dict[str, Any]:
    """A batch of texts -> its frames, as types that Arrow has."""
    texts = [text.decode("utf-8", "surrogateescape") for text in row["texts"]]
    frames = Frames.of(row["first"], data.collate(read_apart(reader, texts, row["first"])))
    errors = [error or "" for error in frames.errors]
    return {**row, "errors": errors, "shape": list(frames.video.shape), "video": frames.video.tobytes()}


class _Towers:
    """`Tower` in an actor."""

    def __init__(self, predictor: list[Any], embeddings: bool, device: str) -> None:
        """`predictor` is a list of one reference, which Ray leaves as it is."""
        import ray

        own = ray.get(predictor[0])
        own.device = torch.device(device)
        self.tower = Tower(own, embeddings)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        video = np.frombuffer(bytearray(row["video"]), np.uint8).reshape(tuple(row["shape"]))
        frames = Frames(row["first"], tuple(error or None for error in row["errors"]), video)
        texts = [text.decode("utf-8", "surrogateescape") for text in row["texts"]]
        told = {"first": row["first"], "errors": row["errors"], "failed": "", "scores": b"", "embeddings": b""}
        try:
            answer = self.tower(frames, texts)
        except ValueError as error:  # Ray would wrap it in the tracebacks of all processes
            return {**told, "failed": str(printable([str(error)])[0])}
        halves = b"" if answer.embeddings is None else answer.embeddings.tobytes()
        return {**told, "scores": answer.scores.tobytes(), "embeddings": halves}


def _answers(row: dict[str, Any], job: Job) -> Answers:
    if row["failed"]:
        raise ValueError(row["failed"])
    num_scores = len(job.predictor.class_names) + job.predictor.none
    scores = np.frombuffer(row["scores"], np.float32).reshape(-1, num_scores)
    width = job.predictor.method.clip.embed_dim
    halves = np.frombuffer(row["embeddings"], np.float16).reshape(-1, width) if job.embeddings else None
    return Answers(row["first"], tuple(error or None for error in row["errors"]), scores, halves)
