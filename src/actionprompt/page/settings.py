"""What a server of the page is told when it starts."""

from dataclasses import dataclass, field
from pathlib import Path

MODELS = Path("~/actionprompt-models")
"""Where models that are taught on the page are kept, unless told otherwise."""


@dataclass(frozen=True)
class Settings:
    """What is served, to whom, and how much of the computer it may take."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 7860
    """0: any that is free."""
    token: str | None = None
    """What every request has to carry; None where only this computer can ask."""
    allow_hosts: tuple[str, ...] = ()
    """Names, besides its address, under which the server may be asked for."""
    backbone: str = "auto"
    """For labels without a model, and for teaching."""
    model: Path | None = None
    """A trained or taught model to offer next to those in `models`."""
    models: Path = field(default_factory=MODELS.expanduser)
    """Folder of the models that are taught on the page."""
    max_mb: int = 2048
    """Of one upload."""
    max_gb: float = 20.0
    """Of all uploads and results together, in temporary files."""
    max_minutes: float = 120.0
    """Of one job; then it fails."""
    max_memory_gb: float | None = None
    """Of the process that works; None: three quarters of the computer's."""
    max_queue: int = 16
    """Jobs that wait; more are refused."""
    max_jobs: int = 200
    """Finished jobs that are kept; older ones are forgotten with their files."""

    @property
    def max_bytes(self) -> int:
        """Of one upload."""
        return self.max_mb * 1_000_000

    @property
    def quota_bytes(self) -> int:
        """Of all uploads and results."""
        return int(self.max_gb * 1e9)
