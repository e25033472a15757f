"""Deng, Tan, Liu, Electronics 2024: dual semantic supervision and temporal prompt reparameterization.

Tables 1 and 2 describe data and settings and have no rows here.
"""

from typing import Any

from actionprompt.paper import First, Row

CHOICES = (
    "Batch size: Table 2 prints 256 for full supervision, Sec. 4.4 and Table 6 print 32 for the numbers of HMDB-51 and "
    "UCF-101. Taken: 32.",
    "Few-shot: the accuracy is `the average of multiple inference results`. Taken: the mean of three draws of K clips "
    "per class, each trained and tested once (seeds 0, 1, 2), on split 1.",
    "Multi-view: `randomly sample each video to obtain multiple clips`. Taken: four random groups of frames, drawn by "
    "the clip's key, times three crops.",
    "Splits: Table 8 is the mean of three splits (Sec. 4.1.1). For the ablations no split is named. Taken: split 1.",
    "Frames: 16 in everything after Sec. 4.2.2; Figure 5a, which comes before it, 8.",
    "Figure 6b: accuracy by epochs. Taken: one training of 30 epochs, tested after 5, 10, 15, 20, 25 and 30, not one "
    "training for each number of epochs.",
    "The weight lambda of Eq. 18 is not printed. Taken: 0.5.",
    "The baseline (Sec. 4.1.3) has nothing to train, yet its accuracy in Table 7 grows with K. Taken: untrained.",
    "Table 6 has cells over several rows. Taken: batch 96 and 48 for Vita-CLIP at 8 and 16 frames (its memory hardly "
    "changes), 32 and 32 for BIKE, 16 and 8 for X-CLIP, all for 30 epochs.",
    "Table 9: no views are named. Taken: 4x3, as in Table 8.",
    "Table 7 and 8, other systems: their own public settings, with the frames of their own papers.",
    "Gradient clipping is not mentioned: none. Vectors have no weight decay here.",
)

_SETS = ("hmdb51", "ucf101")
_OURS: dict[str, Any] = {"method": "dual_semantic_tpr", "recipe": "closed-set", "num_frames": 16}


def _both(start: str, compares: str, *numbers: float | None, **options: Any) -> list[Row]:
    """A row for HMDB-51 and one for UCF-101; `numbers` are top-1 of both, or top-1 and top-5 of both."""
    top1, top5 = (numbers[::2], numbers[1::2]) if len(numbers) == 4 else (numbers or (None, None), (None, None))
    return [
        Row(f"{start}.{dataset}", compares, dataset, one, five, **{**_OURS, **options})
        for dataset, one, five in zip(_SETS, top1, top5)
    ]


def _few_shot(start: str, compares: str, hmdb51: tuple, ucf101: tuple, **options: Any) -> list[Row]:
    """Rows for K = 2, 4, 8, 16 of both data sets; a number that is not printed has no row."""
    few: dict[str, Any] = {**_OURS, "recipe": "few-shot", "protocol": "few-shot", "seeds": (0, 1, 2), **options}
    return [
        Row(
            f"T7.{start}.K{k}.{dataset}",
            compares,
            dataset,
            top1,
            shots=k,
            **{**few, "recipe": few["recipe"].format(dataset=dataset, k=k)},
        )
        for dataset, row in (("hmdb51", hmdb51), ("ucf101", ucf101))
        for k, top1 in zip((2, 4, 8, 16), row)
        if top1 is not None
    ]


def _others(table: str, rows: dict[str, str], datasets: str) -> list[Row]:
    """Systems of other people, with their numbers as printed; nothing here runs them."""
    return [Row(f"{table}.{name}", f"another system, {datasets}: {text}", "", num_frames=None, note="another system")
            for name, text in rows.items()]  # fmt: skip


_BETAS = (
    ("mlp", "beta_mlp", 70.1, 91.3, 92.6, 96.2),
    ("lstm", "beta_lstm", 71.0, 91.8, 93.9, 97.0),
    ("transformer", "beta_transformer", 71.8, 92.5, 94.4, 97.5),
    ("tada", "beta_tada", 72.3, 92.9, 94.8, 98.2),
    ("c3d", "beta_c3d", 72.8, 93.5, 94.6, 98.2),
    ("r2plus1d", "", 73.2, 93.6, 95.8, 99.0),
)
_NO_RESIDUAL = (
    ("tada", "tada_no_residual", 70.5, 92.0, 95.1, 97.8),
    ("c3d", "c3d_no_residual", 71.2, 92.5, 92.9, 97.4),
    ("r2plus1d", "r2plus1d_no_residual", 70.0, 90.9, 93.0, 96.0),
)
_VITA = {"method": "vita_clip", "recipe": "small"}
_BIKE = {"method": "bike", "variant": "video"}
_XCLIP = {"method": "xclip"}
_K400 = {"first": First("kinetics400", "start", "closed-set")}
_VIEWS = {"views": "4x3", "splits": (1, 2, 3), "options": "--data.random-groups"}

ROWS = [
    *_both("F5a.mean_pooling", "frozen CLIP, mean of 8 frames", variant="mean_pooling", num_frames=8),
    *_both("F5a.baseline", "frozen CLIP, frames weighted by words", variant="baseline", num_frames=8),
    *_both("F5a.prompts", "temporal prompts; printed gain 5.5 / 8.2", variant="prompts", num_frames=8),
    *_both("F5a.prompts_beta", "and beta; printed gain 3.5 / 2.7", variant="prompts_beta", num_frames=8),
    *_both("F5a.ours", "and the Chinese branch; printed gain 2.9 / 3.1", num_frames=8),
    *(row for t in (4, 8, 16, 32) for row in _both(f"F5b.T{t}", f"{t} frames", num_frames=t)),
    *(
        row
        for s in (5, 8, 10, 12)
        for row in _both(f"F5c.S{s}", f"{s} global prompts", variant="" if s == 8 else f"global_{s}")
    ),
    *(row for name, v, *numbers in _BETAS for row in _both(f"T3.{name}", f"beta: {name}", *numbers, variant=v)),
    *(
        row
        for (name, plain, *numbers), (_, without, *less) in zip(_BETAS[3:], _NO_RESIDUAL)
        for row in (
            *_both(f"T4.{name}.no_residual", f"{name} without the residual", *less, variant=without),
            *_both(f"T4.{name}.residual", f"{name} with the residual", *numbers, variant=plain),
        )
    ),
    *_both("T5.a_video", "a video about [CLS].", 73.1, 93.7, 95.8, 98.8, variant="template_a_video"),
    *_both("T5.this_is", "This is a video about [CLS].", 73.2, 93.6, 95.8, 99.0),
    *_both("T5.the_video", "the video is about [CLS].", 72.9, 93.6, 95.6, 98.9, variant="template_the_video"),
    *(
        row
        for name, title, t, batch, settings, *numbers in (
            ("vita", "Vita-CLIP", 8, 96, _VITA, 67.25, 91.54), ("vita", "Vita-CLIP", 16, 48, _VITA, 63.79, 90.38),
            ("bike", "BIKE", 8, 32, _BIKE, 72.22, 96.15), ("bike", "BIKE", 16, 32, _BIKE, 73.31, 96.63),
            ("xclip", "X-CLIP", 8, 16, _XCLIP, 70.22, 94.20), ("xclip", "X-CLIP", 16, 8, _XCLIP, 70.75, 94.10),
        )
        for row in _both(f"T6.{name}.T{t}", f"{title}, {t} frames", *numbers, num_frames=t,
                         options=f"--train.epochs 30 --train.batch-size {batch}", **settings)
    ),
    *_both("T6.ours.T8", "8 frames; 54.2 M parameters", 72.50, 95.33, num_frames=8),
    *_both("T6.ours.T16", "16 frames", 73.21, 95.81),
    Row("F6a", "trainable parameters next to accuracy, the rows T6", "", num_frames=None,
        note="counts, not a run: records and `actionprompt bench` have them; a test holds 54.2 M within 1 %"),
    *_both("F6b", "accuracy by epochs", options="--at-epochs 5 10 15 20 25 30"),
    *_others("T7", {
        "stm": "35.8 39.0 43.6 - / 65.4 73.9 81.3 -",
        "3d-resnet50": "43.2 44.3 49.9 - / 68.8 71.1 85.8 -",
        "tsm-r50": "17.5 20.9 18.4 31.0 / 25.3 47.0 64.4 61.0",
        "timesformer": "19.6 40.6 49.4 55.4 / 48.5 75.6 83.7 89.4",
        "video-swin-b": "20.9 41.3 47.9 56.1 / 53.3 74.1 85.8 88.7",
        "x-florence": "51.6 57.8 64.1 64.2 / 84.0 88.5 92.5 94.8",
    }, "K = 2 4 8 16, HMDB-51 / UCF-101"),
    *_few_shot("actionclip", "ActionCLIP, Kinetics-400 first", (54.8, 56.7, 57.3, None), (80.7, 85.3, 89.2, None),
               method="actionclip", recipe="closed-set", num_frames=8, **_K400),
    *_few_shot("xclip", "X-CLIP", (53.0, 57.3, 62.8, 64.0), (76.4, 83.4, 88.3, 91.4), method="xclip",
               variant="frames_32", num_frames=32),
    *_few_shot("vita", "Vita-CLIP", (39.9, 44.5, 54.0, 57.0), (70.1, 79.3, 83.7, 90.0), num_frames=8, **_VITA),
    *_few_shot("bike", "BIKE", (64.3, 67.6, 71.3, 71.9), (88.6, 91.5, 92.8, 93.3), method="bike",
               variant="no_transformer", recipe="few-shot-{dataset}-K{k}", num_frames=8),
    *_few_shot("seeing", "Seeing in Flowing, [47]", (55.3, 58.7, 64.0, 64.6), (82.4, 85.8, 89.1, 91.6),
               method="seeing_in_flowing", num_frames=8),
    *_few_shot("baseline", "frozen CLIP, frames weighted by words", (49.6, 52.8, 57.3, 60.3), (65.1, 74.8, 77.6, 80.2),
               variant="baseline"),
    *_few_shot("prompts", "temporal prompts", (55.8, 59.1, 61.8, 63.7), (74.9, 77.8, 80.4, 84.3), variant="prompts"),
    *_few_shot("prompts_beta", "and beta", (59.3, 62.4, 66.0, 67.9), (79.8, 82.1, 84.8, 88.2), variant="prompts_beta"),
    *_few_shot("ours", "and the Chinese branch", (61.6, 64.8, 69.6, 70.4), (82.7, 86.0, 89.5, 92.1)),
    Row("F7", "attention maps with and without prompts", "", num_frames=None,
        note="`actionprompt explain CLIP --model RUN` draws them for any trained model and for the baseline"),
    Row("F8", "plot of the rows T7", "", num_frames=None, note="`actionprompt results` draws it from their records"),
    *_others("T8", {
        "artnet": "70.9 / 94.3", "tsm": "73.5 / 95.9", "stm": "72.2 / 96.2", "mvfnet": "75.7 / 96.6",
        "tdn": "76.4 / 97.4", "r3d-50": "66.0 / 92.0", "nl-i3d": "66.0 / -", "stc": "72.6 / 95.8",
        "eco": "68.4 / 93.6", "r2plus1d-34": "74.5 / 96.8", "faster32": "75.7 / 96.9",
        "slowonly-8x8-r101": "79.0 / 97.3", "i3d": "74.8 / 95.6", "s3d": "75.9 / 96.8", "lgd-3d": "75.7 / 97.0",
        "st-adapter": "77.7 / 96.4", "videoprompt": "66.4 / 93.6", "two-stream-i3d": "80.7 / 98.0",
        "two-stream-lgd-3d": "80.5 / 98.2", "perf-net": "83.2 / 98.6", "slowonly-r101+i3d-flow": "83.8 / 98.6",
        "smart": "84.3 / 98.6",
    }, "HMDB-51 / UCF-101"),
    *_both("T8.bike-l", "BIKE, ViT-L/14, Kinetics-400 first", 82.2, 98.8, backbone="ViT-L/14", num_frames=16,
           first=First("kinetics400", "start", "closed-set-kinetics400"), **_BIKE, **_VIEWS),
    *_both("T8.seeing", "Seeing in Flowing, [47]", 72.9, 96.3, method="seeing_in_flowing",
           num_frames=8, **_VIEWS),
    *_both("T8.bike", "BIKE", 73.3, 96.6, num_frames=16, **_BIKE, **_VIEWS),
    *_both("T8.xclip", "X-CLIP", 70.8, 94.2, num_frames=8, **_XCLIP, **_VIEWS),
    *_both("T8.vita", "Vita-CLIP", 67.3, 91.5, num_frames=8, **_VITA, **_VIEWS),
    *_both("T8.ours", "mean of three splits", 73.8, 96.5, **_VIEWS),
    *_others("T9", {
        "tanet-r50": "47.6 / 77.7", "tsm": "47.2 / 78.1", "teanet": "48.9 / -", "smallbig50": "50.0 / 79.8",
        "stm": "50.7 / 80.4", "teinet": "51.0 / -", "aia-tsm": "51.6 / 79.9", "msnet": "52.1 / 82.3",
        "tea": "52.3 / 81.9", "sda-tsm": "52.8 / 81.3", "ct-net": "53.4 / 81.7", "tdn": "53.9 / 82.1",
        "tadaconvnextv2-t": "54.1 / -", "tadaconvnextv2-s": "59.7 / -", "tadaconvnextv2-b": "60.7 / -",
        "tadaformer-b16": "59.2 / -", "side4video-b16": "60.7 / 86.0", "uniformerv2-b16": "56.8 / 84.2",
    }, "top-1 / top-5"),
    Row("T9.ours", "Something-Something V1", "something_v1", 54.9, 83.8,
        **{**_OURS, "recipe": "something_v1", "views": "4x3", "options": "--data.random-groups"}),
]  # fmt: skip
