"""Fetch a CLIP, check it and say what it is, also for machines without a network: actionprompt weights get [NAME]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Column, Table

from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import bar, note, out, parse, say
from actionprompt.weights import AUTO, DEFAULT, FAMILIES, TINY, hub, load_clip
from actionprompt.weights.known import KNOWN

USAGE = ("usage: actionprompt weights get [NAME] [--out DIR]", "       actionprompt weights list")


@dataclass(frozen=True)
class Get:
    name: tyro.conf.Positional[str] = DEFAULT
    """A model of the hub: of a family that `weights list` shows, in Hugging Face's or in OpenCLIP's format."""
    out: Path | None = None
    """Also copy it into this folder, which is all that a machine without a network needs."""


def main(args: Sequence[str]) -> int:
    verb, rest = (args[0] if args else "--help"), args[1:]
    if verb in ("-h", "--help"):
        for line in (__doc__, *USAGE):
            say(line)
        raise SystemExit(0)
    if verb == "get":
        return get(parse(Get, rest, "weights get", __doc__))
    if verb == "list" and not rest:
        return list_known()
    raise ValueError(f"expected `weights get` or `weights list`, got {' '.join(args)}")


def get(options: Get) -> int:
    if options.out is not None:
        check_folder(options)
    with bar(f"fetching {options.name}, MB") as progress:
        try:
            folder = hub.get(options.name, progress=lambda done, total: progress(done // 10**6, total // 10**6))
        except hub.NotThere as error:
            found = hub.cached(options.name)
            if found is None:
                raise ValueError(
                    f"{error}: connect and call it again, or copy a folder from a machine that has one (`--out DIR` "
                    f"there, `--backbone DIR` here)"
                ) from None
            note("note:", f"{error}; the copy in the local cache is taken")
            folder = found
    if options.out is not None:
        folder = hub.copy(folder, options.out)
    say(f"{options.name}: {describe(folder)}")
    say(f"folder: {folder}")
    if options.out is None:
        say(f"here: --backbone {options.name}")
        say(f"for a machine without a network: actionprompt weights get {options.name} --out DIR, and copy DIR there")
    else:
        say(f"copy {folder} to a machine without a network, and give it there: --backbone {folder.name}")
    return 0


def describe(folder: Path) -> str:
    """What a folder holds, from its model as it is loaded: every weight is accounted for and finite."""
    clip = load_clip(folder)
    count = sum(parameter.numel() for parameter in clip.parameters())
    return (
        f"{clip.family}, embeddings of {clip.embed_dim}, images of {clip.image.image_size} px, texts of up to "
        f"{clip.text.context_length} tokens, {count / 1e6:.1f} M parameters, sha256 {clip.fingerprint()}"
    )


def list_known() -> int:
    tiny = load_clip(TINY)
    columns = [Column(head, no_wrap=True) for head in ("name", "width", "px", "licence", "checked", "here")]
    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for family in FAMILIES:
        table.add_row(f"[bold]{family}[/bold]")
        for name, known in KNOWN.items():
            if known.family == family:
                checked, here = "shape" if known.checked else "family", "yes" if hub.cached(name) else "no"
                table.add_row(name, str(known.embed_dim), str(known.image_size), known.licence, checked, here)
    table.add_row("[bold]ActionWorld's[/bold]")
    table.add_row(TINY, str(tiny.embed_dim), str(tiny.image.image_size), "Apache-2.0", "itself", "yes")
    out.print(table)
    say(f"width: of the embeddings. {AUTO} is {DEFAULT}; {TINY} knows ActionWorld's drawings alone.")
    say(
        "checked: a model of this shape, or of this family in another size, with random weights, gives the numbers of "
        "transformers or of OpenCLIP's equations (results/backbones.md). No published weights were part of it."
    )
    say("Any other model of these families works: its name on the hub, its folder, or an OpenAI .pt file.")
    return 0
