"""A small client of the server, of the standard library: exactly what is asked goes over the wire."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

FINAL = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> str:
        """The line that a refusal says; AssertionError if it is not one line of JSON."""
        found = self.json
        assert found.keys() == {"error"}, found
        assert found["error"], found
        assert "\n" not in found["error"], found
        assert "Traceback" not in found["error"], found
        return found["error"]


@dataclass(frozen=True)
class Client:
    """Asks a server at `http://host:port`; `headers` go with every request."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 60

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    @contextmanager
    def open(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer, before it is read. `body`: lists and dictionaries as JSON, all else as http.client takes it."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if isinstance(body, list | dict):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection(*self.address, timeout=self.timeout_s)
        try:
            connection.request(method, path, body, {**sent, **self.headers, **(headers or {})})
            yield connection.getresponse()
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        with self.open(method, path, body, headers) as response:
            return Answer(response.status, response.headers, response.read())

    def raw(self, sent: bytes) -> bytes:
        """The bytes that come back for bytes that are sent."""
        with socket.create_connection(self.address, self.timeout_s) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            parts = []
            while part := connection.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)

    def get(self, path: str) -> Any:
        return self._expect(self.call("GET", path), 200).json

    def post(self, path: str, body: Any = None) -> Any:
        return self._expect(self.call("POST", path, body), 202).json

    def delete(self, path: str, status: int = 204) -> None:
        self._expect(self.call("DELETE", path), status)

    def try_upload(self, data: Path | bytes, name: str) -> Answer:
        path = f"/api/videos?name={quote(name, safe='')}"
        if isinstance(data, bytes):
            return self.call("POST", path, data)
        with data.open("rb") as file:
            return self.call("POST", path, file, {"Content-Length": str(data.stat().st_size)})

    def upload(self, path: Path, name: str | None = None) -> dict[str, Any]:
        return self._expect(self.try_upload(path, name or path.name), 201).json

    def wait(self, job: dict[str, Any], *states: str, timeout_s: float = 60) -> dict[str, Any]:
        """The job once it is in one of these states; by default a final one."""
        end = time.monotonic() + timeout_s
        while (found := self.get(f"/api/jobs/{job['id']}"))["state"] not in (states or FINAL):
            assert found["state"] not in FINAL, found
            assert time.monotonic() < end, f"not {states or FINAL} within {timeout_s:g} s: {found}"
            time.sleep(0.05)
        return found

    def work(self, path: str, body: Any = None) -> dict[str, Any]:
        """The job once it is done."""
        job = self.wait(self.post(path, body))
        assert job["state"] == "done", job
        return job

    def result(self, job: dict[str, Any]) -> Any:
        return self.get(job["files"]["json"])

    def events(self, job: dict[str, Any], headers: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """The job at every change, as the server says it, until it ends the stream."""
        with self.open("GET", f"/api/jobs/{job['id']}/events", headers=headers) as response:
            assert response.status == 200, response.read()
            assert response.headers.get_content_type() == "text/event-stream"
            name = None
            for line in (part.decode().rstrip("\r\n") for part in response):
                key, _, value = line.partition(":")
                if key == "event":
                    name = value.strip()
                elif key == "data":
                    assert name == "job", line
                    yield json.loads(value)

    def forget(self) -> None:
        """Cancel and delete all jobs, delete all videos and taught models."""
        for job in self.get("/api/jobs"):
            if job["state"] not in FINAL:
                self.call("DELETE", f"/api/jobs/{job['id']}")
                self.wait(job)
        for job in self.get("/api/jobs"):
            self.delete(f"/api/jobs/{job['id']}")
        for video in self.get("/api/videos"):
            self.delete(f"/api/videos/{video['id']}")
        for model in self.get("/api/models")["models"]:
            if model["kind"] == "taught":
                self.delete(f"/api/models/{model['id']}")

    @staticmethod
    def _expect(answer: Answer, status: int) -> Answer:
        assert answer.status == status, f"expected {status}, got {answer.status}: {answer.data[:500]!r}"
        return answer
