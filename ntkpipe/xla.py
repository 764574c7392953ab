"""XLA's flags for short jobs on a CPU, until jaxlib 0.12: most of a job is compiling.

jaxlib 0.10 has two emitters of fused loops. The older one compiles in 0.35 to 0.5 times
the time of the one that is its default. Where arrays are large its loops are slower:
training 150 networks of width 16,384 takes 1.35 times as long, one hundred of width 100
0.8 times. One module instead of 32 parts takes less processor time too; the parts are
for compilation by many threads, which a job of one thread has not. Jaxlib 0.12 has one
emitter, and no longer these names.
"""

import os

from jaxlib.version import __version_info__

TWO_EMITTERS = __version_info__[:2] == (0, 10)
EMITTERS = "xla_cpu_use_fusion_emitters"
PARTS = "xla_cpu_parallel_codegen_split_count"


def set_flags() -> None:
    """Have what this process compiles compiled quickly, unless XLA_FLAGS say else."""
    users = os.environ.get("XLA_FLAGS", "")
    if TWO_EMITTERS and EMITTERS not in users:
        flags = f"--{EMITTERS}=false --{PARTS}=1"
        os.environ["XLA_FLAGS"] = f"{flags} {users}".strip()


def options(level: int = 3, *, large: bool) -> dict[str, int | bool]:
    """`compiler_options` of jax.jit: optimisation level, and arrays that are large."""
    chosen: dict[str, int | bool] = {"xla_backend_optimization_level": level}
    return chosen | ({EMITTERS: True, PARTS: 32} if large and TWO_EMITTERS else {})
