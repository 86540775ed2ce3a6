"""A store of files behind signed URLs, as clouds have them, on this machine; in a process of its own, since opening
a raster holds Python's lock."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECRET = "SECRETab%2Fcd%3D"
SIGNATURES = {
    "azure": f"st=2026-01-01T03%3A04%3A05Z&sp=rl&sv=2024-05-04&sr=c&sig={SECRET}",
    "amazon": f"X-Amz-Credential=AKID/20260102/us-east-1/s3/aws4_request&X-Amz-Signature={SECRET}",
}


@dataclass(frozen=True)
class Store:
    """What is served.

    Parameters
    ----------
    url : str
        Of the folder, without a signature.
    log : Path
        One line an answer: the name of the file and the number of bytes.
    """

    url: str
    log: Path

    def fetched_bytes(self, name: str) -> int:
        lines = [line.rpartition(" ") for line in self.log.read_text().splitlines()]
        return sum(int(size) for file, _, size in lines if file == name)


@contextmanager
def store_of(folder: Path, log: Path) -> Iterator[Store]:
    """Serve the files of a folder, in ranges, to those who give the signature."""
    with log.open("w") as file:
        command = [sys.executable, __file__, str(folder)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert server.stdout is not None
        yield Store(f"http://127.0.0.1:{server.stdout.readline().strip()}", log)
    finally:
        server.terminate()
        server.wait()


class _Handler(BaseHTTPRequestHandler):
    folder = Path()

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        name, _, query = self.path.partition("?")
        file = self.folder / name.lstrip("/").replace("%20", " ")
        if "SECRET" not in query or not file.is_file():
            return self.send_error(403 if "SECRET" not in query else 404)
        content = file.read_bytes()
        part = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        last = len(content) - 1
        start, end = (int(part[1]), min(int(part[2] or last), last)) if part else (0, last)
        self.send_response(206 if part else 200)
        if part:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        if body:
            self.wfile.write(content[start : end + 1])
            print(file.name, end - start + 1, file=sys.stderr, flush=True)
        return None


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
