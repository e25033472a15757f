"""What is said of an error that a user can cause."""

import os


def of_a_user(error: Exception) -> str | None:
    """What is said of an error that a user can cause: input that is wrong, files and disks. None for a fault of the
    program."""
    from safetensors import SafetensorError

    if isinstance(error, OSError) and error.errno is not None:
        names = " -> ".join(
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        )
        return f"{error.strerror}: {names}" if names else str(error.strerror)
    if isinstance(error, OSError | SafetensorError):  # of the hub, and of files that are no weights
        return " ".join(str(error).split())
    return str(error) if isinstance(error, ValueError | FloatingPointError) else None
