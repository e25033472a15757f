"""How the server says no: the status of each reason, and one line."""

import errno
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from actionprompt.page import schemas
from actionprompt.page.jobs import QueueFull
from actionprompt.page.videos import NoSpace

ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": schemas.Error, "description": "Wrong or missing token."},
    404: {"model": schemas.Error, "description": "There is nothing of that id."},
}
FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
"""What the system says where there is no more room."""
TOO_MANY: dict[int | str, dict[str, Any]] = {
    422: {"model": schemas.Error, "description": "A body that is not as described."},
    429: {
        "model": schemas.Error,
        "description": "The queue is full; `Retry-After` says in how many seconds to try again.",
    },
    507: {"model": schemas.Error, "description": "The quota or the disk is full."},
}


def refusals() -> dict[Any, Any]:
    """How exceptions are answered."""

    def answer(status: int, text: str, **headers: str) -> JSONResponse:
        return JSONResponse({"error": text}, status, headers)

    async def http(_: Request, error: Any) -> JSONResponse:
        return answer(error.status_code, str(error.detail), **(error.headers or {}))

    async def body(_: Request, error: Any) -> JSONResponse:
        return answer(422, "; ".join(map(_complaint, error.errors()[:3])))

    async def full(_: Request, error: Any) -> JSONResponse:
        return answer(429, str(error), **{"Retry-After": str(error.retry_after_s)})

    async def space(_: Request, error: Any) -> JSONResponse:
        return answer(507, str(error))

    async def gone(_: Request, error: Any) -> JSONResponse:
        return answer(400, "the upload ended before it was complete")

    async def system(_: Request, error: Any) -> JSONResponse:
        if error.errno not in FULL:
            raise error
        return answer(507, f"no room on the disk ({error.strerror}); free some space")

    async def fault(_: Request, error: Any) -> JSONResponse:
        return answer(500, f"a fault of the server ({type(error).__name__}); its traceback is in the terminal")

    return {
        Exception: fault, RequestValidationError: body, StarletteError: http, QueueFull: full, NoSpace: space,
        ClientDisconnect: gone, OSError: system,
    }  # fmt: skip


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:80])


def _complaint(error: dict[str, Any]) -> str:
    """What pydantic says of a field, in our form."""
    place = ".".join(_printable(str(part)) for part in error["loc"][1:])  # fields of the body, which may be any text
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "json_invalid":
        return "expected a JSON body, got something else"
    got = repr(error["input"])[:80] if error["type"] not in ("missing", "value_error") else ""
    return f"{place + ': ' if place else ''}{message[:1].lower()}{message[1:]}{', got ' + got if got else ''}"
