"""Train a method on a data set: actionprompt train METHOD --clips.root DIR --out RUN"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from actionprompt import methods
from actionprompt.commands._shared import Clips, bar, choose_method, describe_choices, out, print_broken
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.training import train
from actionprompt.weights import TINY, load_clip


def main(args: Sequence[str]) -> int:
    chosen = choose_method(args, "train")
    module: Any = chosen.module

    @dataclass(frozen=True)
    class Train:
        out: Path
        """Folder of the run: model, log, TensorBoard, checkpoints. A run that was killed resumes when called again."""
        clips: Clips = field(default_factory=Clips)
        part: str = "train"
        """Part of the data set to train on."""
        backbone: str = TINY
        """`tiny` (embedded), a folder, an OpenAI .pt file, or a hub name such as openai/clip-vit-base-patch16."""
        cache: bool = True
        """Train methods with frozen features from the feature cache."""
        method: module.Config = field(default_factory=lambda: chosen.method)
        data: DataConfig = field(default_factory=lambda: chosen.data)
        train: TrainConfig = field(default_factory=lambda: chosen.train)

    prog, about = f"actionprompt train {chosen.name}", describe_choices(chosen)
    options: Train = tyro.cli(Train, args=chosen.rest, prog=prog, description=about)
    clips = options.clips.load(options.part)
    method = methods.build(
        chosen.name, load_clip(options.backbone), clips.class_names, clips.class_names_zh, config=options.method,
        seed=options.train.seed,
    )  # fmt: skip
    with bar("training") as step, bar("encoding frames") as encoding:
        result = train(
            method, clips, options.out, config=options.train, data_config=options.data, cache=options.cache,
            on_encode=encoding,
            on_step=lambda s: step(s.step, s.num_steps, f"epoch {s.epoch + 1}  loss {s.losses['loss']:.3f}"),
        )  # fmt: skip
    print_broken(result.broken)
    model = options.out / "model"
    out.print(f"{model}: {chosen.name} on {len(clips.clips)} clips of {len(clips.class_names)} classes", soft_wrap=True)
    return 1 if result.broken else 0
