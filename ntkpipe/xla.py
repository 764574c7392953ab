"""XLA's flags for short jobs on a CPU with jaxlib 0.10.

A short job mostly compiles. jaxlib 0.10 has two emitters of fused loops. The older one
compiles in up to half the time of the default one, but its loops are slower on large
arrays (docs/performance.md, "The compiler"). Compiling a module in one part instead of
32 also takes less processor time. Several parts are only useful for compilation by many
threads. jaxlib 0.12 has one emitter and does not have these flags.
"""

import os

from jaxlib.version import __version_info__

TWO_EMITTERS = __version_info__[:2] == (0, 10)
EMITTERS = "xla_cpu_use_fusion_emitters"
PARTS = "xla_cpu_parallel_codegen_split_count"


def set_flags() -> None:
    """Set flags for fast compilation, unless XLA_FLAGS already chooses an emitter."""
    users = os.environ.get("XLA_FLAGS", "")
    if TWO_EMITTERS and EMITTERS not in users:
        flags = f"--{EMITTERS}=false --{PARTS}=1"
        os.environ["XLA_FLAGS"] = f"{flags} {users}".strip()


def options(level: int = 3, *, large: bool) -> dict[str, int | bool]:
    """`compiler_options` of jax.jit: optimisation level, and fast loops if `large`."""
    chosen: dict[str, int | bool] = {"xla_backend_optimization_level": level}
    return chosen | ({EMITTERS: True, PARTS: 32} if large and TWO_EMITTERS else {})
