"""Run a whole protocol with a method and write its record: actionprompt run METHOD --protocol few-shot --out DIR"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro
from rich.markup import escape

from actionprompt import checkpoint
from actionprompt.clips import ClipList
from actionprompt.commands._shared import Clips, bar, choose_method, describe_choices, out
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.evaluation import Report, write_scores
from actionprompt.records import write
from actionprompt.study import experiment, protocols
from actionprompt.weights import TINY


def main(args: Sequence[str]) -> int:
    chosen = choose_method(args, "run")
    module: Any = chosen.module

    @dataclass(frozen=True)
    class Run:
        out: Path
        """Folder of the records, `DATASET/PROTOCOL/METHOD-VARIANT-sSEED.json`; models go to its `models`, scores to
        its `scores`."""
        protocol: protocols.Protocol = "closed-set"
        """What is trained on and tested; zero-shot tests without target training."""
        model: Path | None = None
        """For zero-shot: a model trained on another data set; without it the method is tested untrained."""
        clips: Clips = field(default_factory=Clips)
        splits: tuple[int, ...] = (1,)
        """Official splits; several give their mean. Few-shot takes one."""
        shots: int = 16
        """Clips per class in few-shot and base-to-novel."""
        published: tuple[Path, ...] = ()
        """Published few-shot lists to use instead of drawing."""
        seeds: tuple[int, ...] = (0,)
        """A record each: seed of the draw, the weights and the order."""
        also: tuple[str, ...] = ()
        """Parts to test on in addition to `test`: `scene_bias` for ActionWorld's test set with the scenes changed."""
        backbone: str = TINY
        """`tiny` (embedded), a folder, an OpenAI .pt file, or a hub name such as openai/clip-vit-base-patch16."""
        scores: bool = False
        """Also write every clip's class probabilities."""
        skip_existing: bool = False
        """Skip runs whose record exists, so that a queue can be restarted; says so if the record was made with another
        backbone or other options of data or training."""
        method: module.Config = field(default_factory=lambda: chosen.method)
        data: DataConfig = field(default_factory=lambda: chosen.data)
        train: TrainConfig = field(default_factory=lambda: chosen.train)

    prog, about = f"actionprompt run {chosen.name}", describe_choices(chosen)
    options: Run = tyro.cli(Run, args=chosen.rest, prog=prog, description=about)

    def load(split: int, part: str) -> ClipList:
        return replace(options.clips, split=split).load(part)

    trained_on = checkpoint.read_manifest(options.model)["class_names"] if options.model else ()
    unread = False
    for seed in options.seeds:
        plan = protocols.plan(
            options.protocol, load, splits=options.splits, shots=options.shots, seed=seed, published=options.published,
            also=options.also, views=(options.data.num_clips, options.data.num_crops), trained_on=trained_on,
        )  # fmt: skip
        train = replace(options.train, seed=seed)
        path = options.out / experiment.record_path(
            plan, chosen.name, chosen.variant, dataset=options.clips.dataset, size=options.clips.size, seed=seed
        )
        name = path.relative_to(options.out).with_suffix("")
        if options.skip_existing and path.is_file():
            other = experiment.differences(
                path, backbone=options.backbone, data_config=options.data, train_config=train
            )
            made = f", made with other options: {'; '.join(other)}" if other else ""
            out.print(escape(f"{path} is there{made}"), soft_wrap=True)
            continue

        def keep(part: str, test: str, report: Report, name: Path = name) -> None:
            write_scores(options.out / "scores" / name / f"{part}-{test}.json", report)

        with bar(f"{name}: training") as step, bar("encoding") as encode, bar("testing") as test:
            record = experiment.run(
                plan, chosen.name, options.out / "models" / name, config=options.method, variant=chosen.variant,
                dataset=options.clips.dataset, backbone=options.backbone, model=options.model, train_config=train,
                data_config=options.data, keep=keep if options.scores else None,
                callbacks=experiment.Callbacks(
                    lambda s: step(s.step, s.num_steps, f"loss {s.losses['loss']:.3f}"), encode, test
                ),
            )  # fmt: skip
        unread |= any(t["unreadable"] for p in record["metrics"].values() for t in p.values())
        write(path, {**record, "size": options.clips.size})
        figures = "   ".join(f"{key} {value:.2f} %" for key, value in record["figures"].items())
        out.print(escape(f"{path}: {figures}"), soft_wrap=True)
    return 1 if unread else 0
