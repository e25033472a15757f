"""Typed requests and answers of the server; FastAPI checks them and writes them into the OpenAPI schema."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

ZERO_SHOT = "zero-shot"
"""Id of the frozen backbone, which takes any labels."""
MAX_LABELS = 1000
"""Labels of a request; a file of more is a matter for the command line."""
Id = Annotated[str, Field(pattern="^[0-9a-f]{16}$", description="16 hexadecimal digits, made by the server")]
ModelId = Annotated[str, Field(pattern=f"^({ZERO_SHOT}|[0-9a-f]{{16}})$", description=f"`{ZERO_SHOT}`, or of a model")]
MOST_LETTERS = 200
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MOST_LETTERS)]
Kind = Literal["predict", "timeline", "teach", "film", "preview"]
State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Request(BaseModel):
    """A body: fields that do not exist are refused, since they are typing errors."""

    model_config = ConfigDict(extra="forbid")


class Asked(Request):
    """What is asked of a video, or of several."""

    model: ModelId = Field(ZERO_SHOT, description="From `GET /api/models`.")
    labels: list[Name] | None = Field(
        None, max_length=MAX_LABELS, description="What to look for. A trained model has labels of its own."
    )
    none: bool | None = Field(
        None, description='Let "none of these" be an answer; null: where the model can tell it well.'
    )
    independent: bool = Field(False, description="Score each label by itself, so that several can be true at once.")

    @model_validator(mode="after")
    def _zero_shot_needs_labels(self) -> "Asked":
        if self.model == ZERO_SHOT and not self.labels:
            raise ValueError(f"labels: expected at least one for the model {ZERO_SHOT}, got none")
        return self


class PredictRequest(Asked):
    """Recognise whole clips."""

    videos: list[Id] = Field(min_length=1, max_length=100, description="Ids of uploaded videos.")
    top: int = Field(5, ge=1, le=MAX_LABELS, description="How many labels of each video to give.")


class TimelineRequest(Asked):
    """What happens when in one video."""

    video: Id
    window_s: float = Field(2.0, gt=0, le=600, description="Seconds that the model sees at once.")
    hop_s: float = Field(0.5, ge=0.05, le=600, description="Seconds from one window to the next.")
    smooth: bool = Field(True, description="Smooth the answers by a hidden Markov model.")

    @model_validator(mode="after")
    def _no_gaps(self) -> "TimelineRequest":
        if self.hop_s > self.window_s:
            raise ValueError(f"hop_s: expected at most window_s ({self.window_s:g}), got {self.hop_s:g}")
        return self


class Example(Request):
    """A clip to learn from: a video, or a span of one."""

    video: Id
    start_s: float | None = Field(None, ge=0)
    end_s: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _both_or_none(self) -> "Example":
        if (self.start_s is None) != (self.end_s is None):
            raise ValueError("expected start_s and end_s, or neither of them")
        start_s, end_s = self.start_s or 0.0, math.inf if self.end_s is None else self.end_s
        if self.end_s is not None and not (math.isfinite(end_s) and start_s < end_s):
            raise ValueError(f"expected start_s before end_s, got {start_s:g} and {end_s:g}")
        return self


class ClassRequest(Request):
    """An action, and the clips that show it."""

    name: Name
    clips: list[Example] = Field(min_length=1, max_length=1000)


class TeachRequest(Request):
    """Learn actions from clips."""

    name: Name = Field(description="What the model is called.")
    classes: list[ClassRequest] = Field(min_length=1, max_length=200)
    background: Name | None = Field(None, description='The class that is answered with "none of these".')
    add_to: Id | None = Field(None, description="A taught model: its clips are learned from as well.")


class Video(BaseModel):
    """An uploaded video."""

    id: Id
    name: str = Field(description="As the file was called; it is text and nothing else.")
    bytes: int
    duration_s: float
    fps: float | None
    width_px: int
    height_px: int
    codec: str
    playable: bool = Field(description="Whether browsers normally play the file itself.")
    file: str = Field(description="URL of the file.")
    preview: str | None = Field(description="URL of the H.264 preview, once it was made.")
    thumbnail: str = Field(description="URL of a JPEG.")
    warnings: list[str] = Field(description="What is wrong with the file, a line each.")


class Progress(BaseModel):
    """How far a running job is."""

    what: str
    done: int
    total: int


class Job(BaseModel):
    """Something that takes its time."""

    id: Id
    kind: Kind
    state: State
    place: int | None = Field(description="In the queue; 1 is the next one. Null unless it waits.")
    progress: Progress | None
    error: str | None = Field(description="Why it failed, in a line.")
    title: str
    created: datetime
    seconds: float | None = Field(description="How long it worked.")
    videos: list[Id]
    of: Id | None = Field(description="Of a film: the job of its timeline.")
    request: dict[str, Any]
    files: dict[str, str] = Field(description="URLs of the result, by format.")
    notices: list[str] = Field(description="What was found damaged, or could not be kept, while it was done.")


REJECTS = 'Whether it tells "none of these" well: the frozen backbone, or a rejection threshold or background class.'


class Model(BaseModel):
    """What can recognise actions."""

    id: ModelId
    name: str
    kind: Literal["zero-shot", "trained", "taught"]
    labels: list[str] = Field(description="Those it was trained on; none for the frozen backbone.")
    takes_labels: bool = Field(description="Whether it can be asked for other labels than its own.")
    rejects: bool = Field(description=REJECTS)
    background: str | None = Field(description='The class of clips that it answers with "none of these".')
    note: str | None = Field(description="What one should know of it.")
    created: datetime | None
    folder: str | None = Field(description="For `--model` on the command line.")
    held_out_top1: float | None = Field(description="Percent of held-out clips it recognised when it was taught.")


class Backbone(BaseModel):
    """What all models of the server see with."""

    name: str
    tiny: bool
    warning: str | None


class Models(BaseModel):
    """What is on offer."""

    backbone: Backbone
    models: list[Model]


class Server(BaseModel):
    """What the server takes."""

    program: str
    max_bytes: int = Field(description="Of one upload.")
    quota_bytes: int = Field(description="Of all uploads and results.")
    used_bytes: int
    max_queue: int
    max_labels: int


class Error(BaseModel):
    """What went wrong, in a line."""

    error: str
