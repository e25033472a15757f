"""The one trainer: linear, on Accelerate, exactly resumable.

Everything random depends on (seed, epoch, step or clip) alone, so a run that is killed and resumed, or spread over
several processes, computes the same numbers.

Letters: B clips of a micro-batch, T frames, K classes.
"""

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file
from torch import Tensor

from actionprompt import checkpoint, data, features, records, transforms
from actionprompt.checkpoint import MANIFEST, WEIGHTS
from actionprompt.clips import Broken, Clip, ClipList, Position, hold_out
from actionprompt.config import NO_AUGMENTATION, DataConfig, Progress, TrainConfig, to_json
from actionprompt.method import Method, check_frames

OPTIMIZER, LOG = "optimizer.safetensors", "log.jsonl"
FROM_CACHE = "cached features of one centre view, not augmented"
FROM_PIXELS = "pixels of one view of random frames, augmented"
FROM_FLOW = "optical flow of one view of random frames, in a random window, augment.flip applied"
"""What `trained_on` in the manifest says of the input of a training."""


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
) -> TrainResult:
    """Train `method` on `clips` and write the model to `folder`/model.

    A folder that holds checkpoints of the same run is resumed; of another run, refused. `cache` trains methods with
    frozen features from the feature cache: one view of each clip, the centre one, without augmentation. With
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
    folder, cached = Path(folder), cache and method.frozen_features
    held: tuple[Clip, ...] = ()
    if config.hold_out:
        clips, validation = hold_out(clips, config.hold_out, config.seed)
        held = validation.clips
    data_config = used_data(method, data_config, cache=cache)
    _check(method, clips, config, data_config)
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision, cpu=str(device) == "cpu", step_scheduler_with_optimizer=False,
        log_with="tensorboard", project_dir=folder / "tensorboard",
    )  # fmt: skip
    run = {**_run_manifest(method, clips, config, data_config, held, cached=cached), **to_json(facts or {})}
    here, world_size, rank = accelerator.device, accelerator.num_processes, accelerator.process_index
    if device is not None and torch.device(device).type != here.type:
        raise ValueError(f"expected device 'cpu', or none for the one accelerate chooses ({here}), got {str(device)!r}")
    method.to(here)
    optimizer = torch.optim.AdamW(_optimizer_groups(method, config), lr=config.lr, betas=config.betas)
    peak = [group["lr"] for group in optimizer.param_groups]
    start = _resume(folder, run, method, optimizer, accelerator)
    method.clip.set_gradient_checkpointing(config.gradient_checkpointing)
    model = accelerator.prepare_model(method)

    stored = None
    if cached:
        with accelerator.main_process_first():
            stored = features.cached(
                method, clips.clips, data_config.centre_view, device=here, num_workers=config.num_workers,
                mixed_precision=config.mixed_precision, progress=on_encode,
            )  # fmt: skip
        _allow_broken(stored.broken, config.max_broken)
    num_clips = len(stored.index) if stored is not None else len(clips.clips)
    source = _Source(method, clips, config, data_config, stored, here)
    batches_of = lambda epoch: data.epoch_batches(  # noqa: E731
        num_clips, config.batch_size, epoch=epoch, seed=config.seed, rank=rank, world_size=world_size
    )
    steps_per_epoch = len(batches_of(0))
    num_steps = config.epochs * steps_per_epoch
    if accelerator.is_main_process:
        _cut_log(folder / LOG, start)
        accelerator.init_trackers("")
    broken: dict[str, Broken] = {}
    epoch_seconds = []
    method.train()
    for epoch in range(start // steps_per_epoch, config.epochs):
        began = time.perf_counter()
        first = start - epoch * steps_per_epoch if epoch == start // steps_per_epoch else 0
        batches = batches_of(epoch)[first:]
        broken_now: list[Broken] = []
        for step, micros in enumerate(source.steps(batches), start=epoch * steps_per_epoch + first):
            lr = _schedule(step, num_steps, config.warmup_epochs * steps_per_epoch)
            for group, top in zip(optimizer.param_groups, peak, strict=True):
                group["lr"] = top * lr
            torch.manual_seed(_step_seed(config.seed, step, rank))  # for dropout and other draws inside a method
            losses = _step(accelerator, model, optimizer, micros, config, step)
            broken_now += [item for micro in micros for item in micro.broken]
            _allow_broken(broken_now, config.max_broken)
            done = step + 1
            if accelerator.is_main_process:
                entry = {"step": done, "epoch": epoch, "lr": config.lr * lr, **losses}
                with (folder / LOG).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
                accelerator.log({f"train/{k}": v for k, v in entry.items() if k != "step"}, step=done)
                if on_step is not None:
                    on_step(Step(done, num_steps, epoch, losses, config.lr * lr))
            if on_epoch is not None and done % steps_per_epoch == 0:
                on_epoch(done // steps_per_epoch)
                method.train()
            save_now = done % config.save_every_steps == 0 if config.save_every_steps else done % steps_per_epoch == 0
            if save_now and done < num_steps and accelerator.is_main_process:
                _save_checkpoint(folder, done, run, method, optimizer)
        broken.update((item.key, item) for item in broken_now)
        epoch_seconds.append(time.perf_counter() - began)
    method.eval()
    if stored is not None:
        broken.update((item.key, item) for item in stored.broken)
    if accelerator.is_main_process:
        entries = {**run, "broken": sorted(broken), "provenance": records.provenance(seed=config.seed)}
        checkpoint.save(
            folder / "model", method, trained_clips=[clip.key for clip in clips.clips],
            **{k: v for k, v in entries.items() if k not in _IN_MANIFEST},
        )  # fmt: skip
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return TrainResult(folder, tuple(epoch_seconds), tuple(broken.values()))


_IN_MANIFEST = ("method", "config", "backbone")  # what checkpoint.save writes by itself


class _Source:
    """The micro-batches of every step, from pixels or from the cache."""

    def __init__(
        self, method: Method, clips: ClipList, config: TrainConfig, data_config: DataConfig,
        stored: features.CachedFeatures | None, device: torch.device,
    ) -> None:  # fmt: skip
        self.method, self.clips, self.config, self.data_config = method, clips, config, data_config
        self.device, self.stored = device, stored
        if stored is not None:
            self.features = stored.features[:, 0].to(device)
            labels = torch.tensor([clip.label for clip in clips.clips])
            self.labels = labels[stored.index].to(device)

    def steps(self, batches: list[list[Position]]) -> Iterator[list[_Micro]]:
        parts = [_split(batch, self.config.micro_batches) for batch in batches]
        flat = [part for batch in parts for part in batch]
        made = self._from_cache(flat) if self.stored is not None else self._from_pixels(flat)
        for batch in parts:
            yield [next(made) for _ in batch]

    def _from_cache(self, parts: Iterable[list[Position]]) -> Iterator[_Micro]:
        assert self.stored is not None
        for part in parts:
            rows = torch.tensor([index for _, index in part], device=self.device)
            keys = tuple(self.clips.clips[i].key for i in self.stored.index[rows.cpu()].tolist())
            yield _Micro(None, self.features[rows], self._targets(self.labels[rows]), keys, ())

    def _from_pixels(self, parts: list[list[Position]]) -> Iterator[_Micro]:
        method, config, side_px = self.method, self.config, self.method.frame_shape[-1]
        dataset = data.VideoDataset(
            self.clips.clips, self.data_config, side_px=side_px, training=True, seed=config.seed, flow=method.flow
        )
        for batch in data.loader(dataset, parts, num_workers=config.num_workers):
            if not batch.key:
                yield _Micro(None, None, batch.label, (), batch.broken)
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
                    mean=method.clip.mean,
                    std=method.clip.std,
                    rngs=[data.clip_rng(config.seed, position, "augment") for position in batch.position],
                )
            targets = self._targets(batch.label.to(self.device))
            if config.mixup > 0:
                rng = data.clip_rng(config.seed, batch.position[0], "mixup")
                video, targets = transforms.mixup(video, targets, alpha=config.mixup, rng=rng)
            yield _Micro(video, None, targets, batch.key, batch.broken)

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
    """The data options as a training uses them: none of the augmentation is applied to cached features."""
    return replace(config, augment=NO_AUGMENTATION) if cache and method.frozen_features else config


def _check(method: Method, clips: ClipList, config: TrainConfig, data_config: DataConfig) -> None:
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


# Checkpoints of a running training -----------------------------------------------------------------------------------


def _run_manifest(
    method: Method, clips: ClipList, config: TrainConfig, data_config: DataConfig, held: Sequence[Clip], *, cached: bool
) -> dict[str, Any]:
    """What makes two runs the same run."""
    held_out = {"share": config.hold_out, "seed": config.seed, "clips": len(held), "keys": [clip.key for clip in held]}
    return to_json(
        {
            **({"held_out": held_out} if held else {}),
            "method": method.name,
            "config": method.config,
            "backbone": method.clip_sha256,
            "train": config,
            "data": data_config,
            "trained_on": FROM_CACHE if cached else FROM_PIXELS if method.flow is None else FROM_FLOW,
            "list": clips.name,
            "list_sha256": clips.sha256,
            "classes_sha256": clips.classes_sha256,
        }
    )


def _save_checkpoint(
    folder: Path, step: int, run: dict[str, Any], method: Method, optimizer: torch.optim.Optimizer
) -> None:
    state = {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }
    checkpoints = folder / "checkpoints"
    tensors = {WEIGHTS: method.trained_state(), OPTIMIZER: state}
    checkpoint.write_folder(checkpoints / f"step-{step:08d}", tensors, {"step": step, "run": run})
    for old in sorted(checkpoints.glob("step-*"))[:-1]:
        shutil.rmtree(old)


def _resume(
    folder: Path, run: dict[str, Any], method: Method, optimizer: torch.optim.Optimizer, accelerator: Accelerator
) -> int:
    """Load the newest checkpoint, if there is one; the number of steps done."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "model" / MANIFEST).is_file():
        raise ValueError(f"{folder} holds a finished training; choose another folder, or remove it to train again")
    found = sorted(folder.glob(f"checkpoints/step-*/{MANIFEST}"))
    newest = broadcast_object_list([str(found[-1].parent) if found else None])[0]
    if newest is None:
        return 0
    manifest = json.loads((Path(newest) / MANIFEST).read_text(encoding="utf-8"))
    if manifest["run"] != run:
        different = [key for key in run if manifest["run"].get(key) != run[key]]
        raise ValueError(
            f"{folder} holds checkpoints of another run (different: {', '.join(different)}); choose another folder, "
            f"remove it, or call with the same options to resume"
        )
    method.load_trained_state(load_file(Path(newest) / WEIGHTS))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(Path(newest) / OPTIMIZER).items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    accelerator.wait_for_everyone()
    return int(manifest["step"])


def _cut_log(path: Path, step: int) -> None:
    """Remove log entries after the last checkpoint of a killed run: these steps are repeated."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = []
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break  # an incomplete line: the process was killed while writing it
        if entry["step"] <= step:
            kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")
