"""Rivals: other software, each in a temporary environment and its own process."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = {
    # without packages that only its TensorFlow interface needs, see
    # with_neural_tangents.py
    "neural_tangents": [
        "neural-tangents==0.6.5",
        "jax==0.4.26",
        "jaxlib==0.4.26",
        "numpy<2",
        "scipy<1.14",
        "ml_dtypes<0.5",
        "frozendict",
        "opt_einsum",
        "typing_extensions",
    ],
    "torch": ["torch==2.13.0", "numpy"],
}
EXACTLY_THESE = ("neural_tangents",)  # --no-deps


class Missing(Exception):
    """A rival cannot be run here; the message says why."""


class Rivals:
    """Starts each rival when it is first needed, and stops all of them at the end."""

    def __init__(self, folder: str | None = None, allowed: bool = True):
        self._folder, self._allowed = folder, allowed
        self._temporary = None
        self._started: dict[str, subprocess.Popen | Missing] = {}

    def __enter__(self):
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rivals")
            self._folder = self._temporary.name
        return self

    def __exit__(self, *_):
        for process in self._started.values():
            if not isinstance(process, Missing):
                process.stdin.close()
                process.wait()
        if self._temporary:
            self._temporary.cleanup()

    def ready(self, name: str, /, **case):
        """A function that runs `case` in the process of a rival and returns seconds."""
        self._ask(name, **case)
        return lambda: self._ask(name, run="it")["seconds"]

    def _ask(self, name: str, /, **line) -> dict:
        if name not in self._started:
            try:
                self._started[name] = self._start(name)
            except Missing as reason:
                self._started[name] = reason
        process = self._started[name]
        if isinstance(process, Missing):
            raise process
        try:
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise Missing(f"{name} does not start") from None
        answer = process.stdout.readline()
        if not answer:
            raise Missing(f"{name} ended without an answer")
        answer = json.loads(answer)
        if "error" in answer:
            raise Missing(f"{name}: {answer['error']}")
        return answer

    def _start(self, name: str) -> subprocess.Popen:
        if not self._allowed:
            raise Missing("--no-rivals was set")
        python = self._environment(name)
        # the XLA of a rival may not know the flags of ours
        environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
        return subprocess.Popen(
            [python, HERE / "server.py", f"with_{name}"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _environment(self, name: str) -> Path:
        folder = Path(self._folder) / name
        python, done = folder / "bin" / "python", folder / "installed"
        if done.exists():
            return python
        print(f"installing {name} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        options = ["--no-deps"] * (name in EXACTLY_THESE)
        command = [python, "-m", "pip", "install", "-q", *options, *REQUIREMENTS[name]]
        installed = subprocess.run(command, capture_output=True, text=True)
        if installed.returncode:
            last = installed.stderr.strip().splitlines()[-1:]
            raise Missing(f"{name} could not be installed: {''.join(last)[:200]}")
        done.touch()
        return python
