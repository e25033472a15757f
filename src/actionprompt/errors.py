"""What is said of an error that a user can cause."""

import os
import re

MEMORY = re.compile("out of memory|DefaultCPUAllocator|ALLOC_FAILED")
"""What torch's errors say where memory ran out: those of GPUs, and of a CPU, which have no type of their own."""


def of_a_user(error: Exception) -> str | None:
    """What is said of an error that a user can cause: input that is wrong, files and disks, too little memory. None for
    a fault of the program."""
    from safetensors import SafetensorError

    if isinstance(error, OSError) and error.errno is not None:
        names = " -> ".join(
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        )
        return f"{error.strerror}: {names}" if names else str(error.strerror)
    if isinstance(error, OSError | SafetensorError):  # of the hub, and of files that are no weights
        return " ".join(str(error).split())
    if of_memory(error):
        said = " ".join(str(error).split()).rpartition("DefaultCPUAllocator: ")[2]
        first = ". ".join(re.split(r"\.(?: |$)", said)[:3]).rstrip(". ")  # what follows is advice on torch's allocator
        return "memory ran out" + (f" ({first})" if first else "")
    return str(error) if isinstance(error, ValueError | FloatingPointError) else None


def of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, that of this computer or that of a GPU."""
    of_torch = isinstance(error, RuntimeError) and MEMORY.search(str(error)) is not None
    return of_torch or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
