"""The one trainer: linear, on Accelerate, exactly resumable.

Everything random depends on (seed, epoch, step or clip) alone, so a run that is killed and resumed, or spread over
several processes, computes the same numbers.

Letters: B clips of a micro-batch, T frames, K classes.
"""

import contextlib
import functools
import itertools
import json
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from actionprompt import checkpoint, data, features, files, records, resume, transforms
from actionprompt.backbone import find_device
from actionprompt.clips import Broken, ClipList, Position, hold_out, public_key
from actionprompt.config import NO_AUGMENTATION, DataConfig, Progress, TrainConfig, check_type, to_json
from actionprompt.method import Method, check_frames, check_method
from actionprompt.resume import LOG

FROM_CACHE = "cached features of one centre view, not augmented"
FROM_PIXELS = "pixels of one view of random frames, augmented"
FROM_FLOW = "optical flow of one view of random frames, in a random window, augment.flip applied"
"""What `trained_on` in the manifest says of the input of a training."""
IN_MEMORY_BYTES = 256 << 20
"""Cached features up to this size are held on the device; of more, every batch is gathered from the disk."""


@dataclass(frozen=True)
class Step:
    """The argument of the `on_step` callback, after every optimiser step."""

    step: int
    num_steps: int
    epoch: int
    losses: dict[str, float]
    lr: float


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    folder: Path
    """Holds `model` (the model folder), `log.jsonl`, `tensorboard` and `checkpoints`."""
    epoch_seconds: tuple[float, ...]
    """Wall time of each epoch of this process; a resumed run lists only its own epochs."""
    broken: tuple[Broken, ...]
    """Unreadable clips that `max_broken` allowed to leave out."""


@dataclass(frozen=True)
class _Micro:
    """One micro-batch as the method takes it: pixels or cached features, and the labels."""

    video: Tensor | None
    features: Tensor | None
    label: Tensor
    key: tuple[str, ...]
    broken: tuple[Broken, ...]
    waited_s: float = 0.0
    """Until the clips were there."""


def train(
    method: Method,
    clips: ClipList,
    folder: str | Path,
    *,
    config: TrainConfig,
    data_config: DataConfig,
    cache: bool = True,
    device: torch.device | str | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[int], None] | None = None,
    on_encode: Progress | None = None,
    facts: dict[str, Any] | None = None,
    stored: features.CachedFeatures | None = None,
    drop_missing: bool = False,
) -> TrainResult:
    """Train `method` on `clips` and write the model to `folder`/model.

    A folder that holds checkpoints of the same run is resumed; of another run, refused. If clips of its list are gone,
    `drop_missing` resumes without them, from the end of an epoch, and the manifest says so. A damaged newest checkpoint
    is replaced by the one before it, with a `files.Notice`. `cache` trains methods with
    frozen features from the feature cache: one view of each clip, the centre one, without augmentation; `stored` are
    these features, where the caller has them. With
    `config.hold_out`, a share of every class is left out of the training (`clips.hold_out`) and named in the manifest;
    `clips.txt` in the model folder lists the clips that were trained on. `facts` are further entries of the manifest.
    `on_epoch` is called with the number of epochs done, after each of them; an interrupted run repeats the call of its
    last epoch. `device` is the one that accelerate chooses, or "cpu". Under `accelerate launch` every process calls
    this.

    Raises:
        ValueError: nothing to train, unreadable clips beyond `max_broken`, a folder of another run, options that
            contradict each other.
        FloatingPointError: the loss is not finite; the message lists the clips of the batch.
    """
    check_method(method)
    check_type(clips, ClipList, "clips")
    check_type(config, TrainConfig, "config")
    check_type(data_config, DataConfig, "data_config")
    folder = Path(folder)
    _check(method, clips, config, data_config, cache=cache)
    clips, run = planned(method, clips, config, data_config, cache=cache, facts=facts)
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision, cpu=str(device) == "cpu", step_scheduler_with_optimizer=False,
        log_with="tensorboard", project_dir=folder / "tensorboard",
    )  # fmt: skip
    here = accelerator.device
    if device is not None and find_device(device).type != here.type:
        raise ValueError(f"expected device 'cpu', or none for the one accelerate chooses ({here}), got {str(device)!r}")
    with files.one_writer(folder) if accelerator.is_main_process else contextlib.nullcontext():
        return _train(
            method, clips, folder, run, accelerator, config=config, cached=cache and method.frozen_features,
            data_config=used_data(method, data_config, cache=cache), on_step=on_step, on_epoch=on_epoch,
            on_encode=on_encode, stored=stored, drop_missing=drop_missing,
        )  # fmt: skip


def _train(
    method: Method, clips: ClipList, folder: Path, run: dict[str, Any], accelerator: Accelerator, *,
    config: TrainConfig, data_config: DataConfig, cached: bool, on_step: Callable[[Step], None] | None,
    on_epoch: Callable[[int], None] | None, on_encode: Progress | None, stored: features.CachedFeatures | None,
    drop_missing: bool,
) -> TrainResult:  # fmt: skip
    here, world_size, rank = accelerator.device, accelerator.num_processes, accelerator.process_index
    method.to(here)
    optimizer = torch.optim.AdamW(_optimizer_groups(method, config), lr=config.lr, betas=config.betas)
    peak = [group["lr"] for group in optimizer.param_groups]
    start = resume.load(folder, run, clips, method, optimizer, accelerator, drop_missing=drop_missing)
    if start.dropped:
        run = {**run, "dropped": to_json(start.dropped)}
    method.clip.set_gradient_checkpointing(config.gradient_checkpointing)
    model = accelerator.prepare_model(method)

    if cached and stored is None:
        encode = functools.partial(
            features.cached, method, clips.clips, data_config.centre_view, device=here, num_workers=config.num_workers,
            mixed_precision=config.mixed_precision, dtype=config.feature_dtype, progress=on_encode,
        )  # fmt: skip
        if world_size > 1:  # every process encodes a share, and then takes from the cache what the others did
            encode(share=(rank, world_size))
            accelerator.wait_for_everyone()
        stored = encode()
    if stored is not None:
        _allow_broken(stored.broken, config.max_broken)
    num_clips = len(stored.index) if stored is not None else len(clips.clips)
    source = _Source(method, clips, config, data_config, stored, here)
    batches_of = lambda epoch: data.epoch_batches(  # noqa: E731
        num_clips, config.batch_size, epoch=epoch, seed=config.seed, rank=rank, world_size=world_size
    )
    steps_per_epoch, (first_epoch, first_step) = len(batches_of(0)), start.origin
    num_steps = first_step + (config.epochs - first_epoch) * steps_per_epoch
    if accelerator.is_main_process:
        resume.cut_log(folder / LOG, start.step)
        accelerator.init_trackers("")
    broken: dict[str, Broken] = {}
    epoch_seconds = []
    method.train()
    done, waits = start.step, data.Waits(clips.clips, num_workers=config.num_workers, flow=method.flow is not None)
    past_epochs, past_steps = divmod(done - first_step, steps_per_epoch)
    to_come = range(first_epoch + past_epochs, config.epochs)
    # of all epochs: the processes that decode start once, and read the first batches of an epoch during the one before
    batches = itertools.islice(itertools.chain.from_iterable(map(batches_of, to_come)), past_steps, None)
    with contextlib.closing(source.steps(batches)) as steps:
        for epoch in to_come:
            began = time.perf_counter()
            end = first_step + (epoch + 1 - first_epoch) * steps_per_epoch
            broken_now: list[Broken] = []
            for step in range(done, end):
                step_began, micros = time.perf_counter(), next(steps)
                lr = _schedule(step, num_steps, config.warmup_epochs * steps_per_epoch)
                for group, top in zip(optimizer.param_groups, peak, strict=True):
                    group["lr"] = top * lr
                torch.manual_seed(_step_seed(config.seed, step, rank))  # for dropout and other draws inside a method
                losses = _step(accelerator, model, optimizer, micros, config, step)
                broken_now += [item for micro in micros for item in micro.broken]
                _allow_broken(broken_now, config.max_broken)
                if accelerator.is_main_process:
                    waits.add(sum(micro.waited_s for micro in micros), time.perf_counter() - step_began)
                done = step + 1
                if accelerator.is_main_process:
                    _log(folder, accelerator, {"step": done, "epoch": epoch, "lr": config.lr * lr, **losses})
                    if on_step is not None:
                        on_step(Step(done, num_steps, epoch, losses, config.lr * lr))
                if on_epoch is not None and done == end:
                    on_epoch(epoch + 1)
                    method.train()
                save_now = done % config.save_every_steps == 0 if config.save_every_steps else done == end
                if save_now and done < num_steps and accelerator.is_main_process:
                    epochs = epoch + 1 if done == end else None
                    resume.save(folder, start, run, clips, method, optimizer, step=done, epochs=epochs)
            broken.update((item.key, item) for item in broken_now)
            epoch_seconds.append(time.perf_counter() - began)
    method.eval()
    if stored is not None:
        broken.update((item.key, item) for item in stored.broken)
    if accelerator.is_main_process:
        entries = {**run, "broken": sorted(map(public_key, broken)), "provenance": records.provenance(seed=config.seed)}
        checkpoint.save(
            folder / "model", method, trained_clips=(*clips.clips, *start.dropped_clips),
            **{k: v for k, v in entries.items() if k not in _IN_MANIFEST},
        )  # fmt: skip
        resume.delete_checkpoints(folder)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return TrainResult(folder, tuple(epoch_seconds), tuple(broken.values()))


_IN_MANIFEST = ("method", "config", "backbone")  # what checkpoint.save writes by itself


def _log(folder: Path, accelerator: Accelerator, entry: dict[str, Any]) -> None:
    """A line of the log, in JSON, which has no NaN: the loss of a batch of which nothing could be read is null."""
    line = json.dumps({name: value if math.isfinite(value) else None for name, value in entry.items()})
    files.append(folder / LOG, line)
    accelerator.log({f"train/{k}": v for k, v in entry.items() if k != "step"}, step=entry["step"])


class _Source:
    """The micro-batches of every step, from pixels or from the cache."""

    def __init__(
        self, method: Method, clips: ClipList, config: TrainConfig, data_config: DataConfig,
        stored: features.CachedFeatures | None, device: torch.device,
    ) -> None:  # fmt: skip
        self.method, self.clips, self.config, self.data_config = method, clips, config, data_config
        self.device, self.stored = device, stored
        if stored is not None:
            in_memory = stored.features.num_bytes <= IN_MEMORY_BYTES
            self.features = stored.features.read()[:, 0].to(device) if in_memory else None
            labels = torch.tensor([clip.label for clip in clips.clips])
            self.labels = labels[stored.index].to(device)

    def steps(self, batches: Iterable[list[Position]]) -> Generator[list[_Micro], None, None]:
        parts, ahead = itertools.tee(_split(batch, self.config.micro_batches) for batch in batches)
        flat = itertools.chain.from_iterable(ahead)
        made = self._from_cache(flat) if self.stored is not None else self._from_pixels(flat)
        with contextlib.closing(made):
            for batch in parts:
                yield [next(made) for _ in batch]

    def _from_cache(self, parts: Iterable[list[Position]]) -> Generator[_Micro, None, None]:
        assert self.stored is not None
        for part in parts:
            numbers = torch.tensor([index for _, index in part])
            keys = tuple(self.clips.clips[i].key for i in self.stored.index[numbers].tolist())
            rows = numbers.to(self.device)
            if self.features is not None:
                made = self.features[rows]
            else:
                made = self.stored.features[numbers][:, 0].to(self.device)
            yield _Micro(None, made, self._targets(self.labels[rows]), keys, ())

    def _from_pixels(self, parts: Iterator[list[Position]]) -> Generator[_Micro, None, None]:
        method, config, side_px = self.method, self.config, self.method.frame_shape[-1]
        dataset = data.VideoDataset(
            self.clips.clips, self.data_config, side_px=side_px, training=True, seed=config.seed,
            pixels=method.clip.pixels, flow=method.flow,
        )  # fmt: skip
        loaded = data.loader(dataset, parts, num_workers=config.num_workers)
        with contextlib.closing(loaded):
            for batch, waited_s in data.timed(loaded):
                if not batch.key:
                    yield _Micro(None, None, batch.label, (), batch.broken, waited_s)
                    continue
                video = batch.video.to(self.device, non_blocking=True)[:, 0]
                if method.flow is not None:
                    video = method.normalise(video)
                else:
                    video = transforms.augment(
                        video,
                        batch.aspect,
                        self.data_config.augment,
                        side_px=side_px,
                        mean=method.clip.pixels.mean,
                        std=method.clip.pixels.std,
                        rngs=[data.clip_rng(config.seed, position, "augment") for position in batch.position],
                    )
                targets = self._targets(batch.label.to(self.device))
                if config.mixup > 0:
                    rng = data.clip_rng(config.seed, batch.position[0], "mixup")
                    video, targets = transforms.mixup(video, targets, alpha=config.mixup, rng=rng)
                yield _Micro(video, None, targets, batch.key, batch.broken, waited_s)

    def _targets(self, labels: Tensor) -> Tensor:
        """Class indices, or with label smoothing or mixup the rows of their distribution."""
        if self.config.label_smoothing == 0 and self.config.mixup == 0:
            return labels
        num_classes, smoothing = len(self.clips.class_names), self.config.label_smoothing
        return F.one_hot(labels, num_classes) * (1 - smoothing) + smoothing / num_classes


def _step(
    accelerator: Accelerator, model: Any, optimizer: torch.optim.Optimizer, micros: list[_Micro], config: TrainConfig,
    step: int,
) -> dict[str, float]:  # fmt: skip
    """One optimiser step; the losses averaged over all clips of the batch, in all processes."""
    own = torch.tensor(float(sum(len(micro.key) for micro in micros)), device=accelerator.device)
    total = float(accelerator.reduce(own, reduction="sum"))
    if total == 0:
        return {"loss": math.nan}  # only with max_broken: nothing of this batch could be read
    sums: dict[str, Tensor] = {}
    filled = [micro for micro in micros if micro.key]
    for number, micro in enumerate(filled, start=1):
        last = number == len(filled)
        with accelerator.autocast(), _maybe_no_sync(accelerator, model, last):
            losses = model(micro.video, micro.label, features=micro.features)
            if not bool(losses["loss"].isfinite()):
                raise FloatingPointError(
                    f"step {step + 1}: the loss is {losses['loss'].item()}; lower the learning rate, or look at these "
                    f"clips: {', '.join(micro.key)}"
                )
            # processes average their gradients, so that this makes the mean over the clips of the whole batch
            weight = len(micro.key) * accelerator.num_processes / total
            accelerator.backward(losses["loss"] * weight)
        for name, value in losses.items():
            sums[name] = sums.get(name, torch.zeros((), device=accelerator.device)) + value.detach() * len(micro.key)
    if config.clip_grad_norm is not None:
        accelerator.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {name: float(accelerator.reduce(value, reduction="sum")) / total for name, value in sums.items()}


def _maybe_no_sync(accelerator: Accelerator, model: Any, last: bool) -> Any:
    return contextlib.nullcontext() if last else accelerator.no_sync(model)


def _schedule(step: int, num_steps: int, warmup_steps: float) -> float:
    """Factor on the learning rate at a step, counted from 0: linear warm-up, then half a cosine to zero."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1.0, num_steps - warmup_steps)))


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)


def _split(batch: list[Position], parts: int) -> list[list[Position]]:
    size = math.ceil(len(batch) / parts)
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def used_data(method: Method, config: DataConfig, *, cache: bool) -> DataConfig:
    """The data options as a training uses them: with the backbone's own fit, and none of the augmentation where it is
    not applied, to cached features."""
    config = config.resolved(method.clip.pixels)
    return replace(config, augment=NO_AUGMENTATION) if cache and method.frozen_features else config


def input_of(method: Method, *, cache: bool) -> str:
    """What a training of this method takes as its input."""
    return FROM_CACHE if cache and method.frozen_features else FROM_PIXELS if method.flow is None else FROM_FLOW


def planned(
    method: Method, clips: ClipList, config: TrainConfig, data_config: DataConfig, *, cache: bool,
    facts: dict[str, Any] | None,
) -> tuple[ClipList, dict[str, Any]]:  # fmt: skip
    """The clips that are trained on, and what makes this run: its entries of the model's manifest."""
    held_out = {}
    if config.hold_out:
        clips, held = hold_out(clips, config.hold_out, config.seed)
        keys = [clip.key for clip in held.clips]
        held_out = {"held_out": {"share": config.hold_out, "seed": config.seed, "clips": len(keys), "keys": keys}}
    run = {
        **held_out,
        "method": method.name,
        "config": method.config,
        "backbone": method.clip_sha256,
        "train": config,
        "data": used_data(method, data_config, cache=cache),
        "trained_on": input_of(method, cache=cache),
        "list": clips.name,
        "list_sha256": clips.sha256,
        "classes_sha256": clips.classes_sha256,
        **(facts or {}),
    }
    return clips, to_json(run)


def _check(method: Method, clips: ClipList, config: TrainConfig, data_config: DataConfig, *, cache: bool) -> None:
    data_config = used_data(method, data_config, cache=cache)
    if not any(parameter.requires_grad for parameter in method.parameters()):
        name = method.name
        raise ValueError(f"{name} has nothing to train with these options; evaluate it, or choose a trained variant")
    if clips.class_names != method.class_names:
        raise ValueError(f"{clips.name} and the method do not have the same class names")
    if not clips.clips:
        raise ValueError(f"{clips.name}: expected clips to train on, got none")
    check_frames(method, data_config)
    if not clips.flip and data_config.augment.flip > 0:
        raise ValueError(
            f"{clips.name}: left and right are classes of their own: expected augment.flip 0, got "
            f"{data_config.augment.flip}; add --data.augment.flip 0"
        )
    if method.flow is not None:
        _check_flow(method, config, data_config)
    if config.feature_dtype != "float32" and not (cache and method.frozen_features):
        raise ValueError(
            f"{method.name} trains from pixels here, not from cached features: expected feature_dtype float32"
        )
    if config.mixup > 0 and method.frozen_features:
        raise ValueError("mixup mixes pixels: expected mixup=0 with cached features (or cache=False)")


def _check_flow(method: Method, config: TrainConfig, data_config: DataConfig) -> None:
    if config.gradient_checkpointing:
        raise ValueError(f"{method.name} has no transformer layers to recompute: expected gradient_checkpointing False")
    given, off = to_json(data_config.augment), to_json(replace(NO_AUGMENTATION, flip=data_config.augment.flip))
    different = [f"augment.{name} {off[name]} instead of {given[name]}" for name in off if off[name] != given[name]]
    if different:
        raise ValueError(
            f"{method.name} takes optical flow, which is neither resized nor coloured in training but taken in random "
            f"windows and flipped: expected {', '.join(different)}; the recipes of {method.name} set this"
        )


def _allow_broken(broken: Iterable[Broken], allowed: int) -> None:
    broken = list(broken)
    if len(broken) > allowed:
        first = broken[0]
        raise ValueError(
            f"{len(broken)} clips cannot be read and max_broken is {allowed}; the first is {first.key}: "
            f"{first.reason}; run `actionprompt check` on the folder, mend or remove them, or raise max_broken"
        )


def _optimizer_groups(method: Method, config: TrainConfig) -> list[dict[str, Any]]:
    groups = [{"weight_decay": config.weight_decay, **group} for group in method.param_groups(config.lr)]
    listed = [id(p) for group in groups for p in group["params"]]
    trained = [id(p) for p in method.parameters() if p.requires_grad]
    assert sorted(listed) == sorted(trained), "param_groups must hold every trained tensor exactly once"
    return groups
