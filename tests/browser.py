"""Headless Chromium for tests, driven over a pipe by its DevTools protocol.

`--dump-dom` does not wait for workers, so a test that waits for one needs the protocol.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-quic", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--remote-debugging-pipe", "about:blank"),
)
# Chromium reads commands from the file 3 and writes answers to the file 4
LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)
TIMEOUT = 120  # seconds of a command


class Browser:
    """A page of Chromium; `errors` has its uncaught errors and console.error."""

    def __init__(self, profile: Path):
        commands, self._out = (_high(fd) for fd in os.pipe())
        self._in, answers = (_high(fd) for fd in os.pipe())
        launch = [sys.executable, "-c", LAUNCHER, str(commands), str(answers)]
        self._process = subprocess.Popen(
            [*launch, CHROMIUM or NAMES[0], *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._number, self._read, self._session = 0, b"", None
        self.errors: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call(
            "Target.attachToTarget", targetId=page["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """Load a file, and wait until its scripts have run."""
        self.call("Page.navigate", url=path.as_uri())
        loaded = "new Promise((go) => document.readyState === 'complete' ? go() : "
        self.run(f"{loaded} window.addEventListener('load', go))")

    def run(self, script: str):
        """The value of an expression in the page; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if fault := answer.get("exceptionDetails"):
            raise RuntimeError(_words(fault))
        return answer["result"].get("value")

    def media(self, kind: str = "", **features: str) -> None:
        """Emulate a medium (`print`) and features (`prefers_color_scheme="dark"`)."""
        listed = [
            {"name": name.replace("_", "-"), "value": value}
            for name, value in features.items()
        ]
        self.call("Emulation.setEmulatedMedia", media=kind, features=listed)

    def size(self, width: int, height: int) -> None:
        """The size of the window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(answer["data"]))

    def call(self, method: str, **params):
        """The result of a command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            self._note(answer)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def close(self) -> None:
        """Close the browser and its pipes."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _next(self):
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self._read:
            ready, _, _ = select.select(
                [self._in], [], [], max(0, deadline - time.monotonic())
            )
            if not ready:
                raise TimeoutError(f"Chromium did not answer within {TIMEOUT} s")
            part = os.read(self._in, 2**20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._read += part
        answer, _, self._read = self._read.partition(b"\0")
        return json.loads(answer)

    def _note(self, answer) -> None:
        """Collect the errors of the page."""
        method, params = answer.get("method"), answer.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(_words(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(str([a.get("value") for a in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])


def _high(fd: int) -> int:
    """The same file with a number above those that Chromium uses."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return copy


def _words(fault) -> str:
    return fault.get("exception", {}).get("description") or fault["text"]
