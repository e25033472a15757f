"""What this installation has, what is wrong with it and what to do: actionprompt doctor [--hub]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionprompt import files
from actionprompt.apps import doctor
from actionprompt.commands._outputs import check_files
from actionprompt.commands._shared import STDOUT, note, parse, say, to_stdout


@dataclass(frozen=True)
class Doctor:
    hub: bool = False
    """Ask the hub, too, from where weights are fetched; it has three seconds to answer."""
    json: Path | None = None
    """Write all that was found here; `-` is stdout, with nothing else on it."""


def main(args: Sequence[str]) -> int:
    options = parse(Doctor, args, "doctor", __doc__)
    check_files(options, "json")
    report = doctor.examine(hub=options.hub)
    if options.json == STDOUT:
        to_stdout(files.to_text(report.as_json()))
        return 1 if report.problems else 0
    if options.json is not None:
        files.write_json(options.json, report.as_json())
    for part, facts in report.facts.items():
        say(part)
        for name, value in facts.items():
            say(f"  {name.removesuffix('_bytes'):<24} {_text(name, value)}")
    for problem in report.problems:
        note("wrong:", f"{problem.what}; {problem.do}", "red")
    say("nothing is wrong" if not report.problems else f"wrong: {len(report.problems)}")
    return 1 if report.problems else 0


def _text(name: str, value: Any) -> str:
    if value is None:
        return "none"
    return f"{value / 1e9:.2f} GB" if name.endswith("_bytes") else str(value)
