"""A training in a process of its own, to be killed or launched twice. Argument: JSON of keys, root, out, epochs."""

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from actionprompt import methods
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.training import train
from actionprompt.weights import load_clip

if __name__ == "__main__":
    torch.set_num_threads(1)
    spec = json.loads(sys.argv[-1])
    root, names = Path(spec["root"]), ("red", "green", "blue")
    clips = tuple(Clip(key, root / key, int(key[:2]) % 3) for key in spec["keys"])
    config = TrainConfig(epochs=spec["epochs"], batch_size=4, lr=1e-3, num_workers=0, save_every_steps=2)
    method = methods.build("vifi_clip", load_clip("random:nano"), names)
    train(
        method, ClipList("colours", clips, names), spec["out"], config=config, data_config=DataConfig(num_frames=4),
        device="cpu",
    )  # fmt: skip
    if PartialState().is_main_process:
        (Path(spec["out"]) / "processes.json").write_text(str(PartialState().num_processes))
