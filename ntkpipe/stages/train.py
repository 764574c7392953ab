"""Train all networks of one width, and record their kernels during training."""

from __future__ import annotations

import time

from ntkpipe import cost, provenance
from ntkpipe.progress import Progress
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.stage import Place, Stage, keys


def run(job: Job) -> None:
    """Train all networks of one width, record their kernels, and write network.npz."""
    import jax

    from ntkpipe import training
    from ntkpipe.data.base import Data

    e, width, begin = job.experiment, job.at.width, time.monotonic()
    trajectory = training.train(
        e.model,
        e.training,
        Data(**job.read("dataset")),
        width,
        jax.random.key(e.seed),
        e.seeds_at(width),
        e.dtype,
        Progress(),
    )
    device = provenance.device()
    job.write(trajectory, device)
    seeds, diverged = trajectory["seed"], trajectory["diverged"]
    if diverged.any():
        those = seeds[diverged].tolist()
        log.warning(
            "%d of %d networks diverged: seeds %s", len(those), len(seeds), those
        )
    steps, seconds = e.training.steps, time.monotonic() - begin
    log.info(
        f"train: {len(seeds)} seeds × width {width}, at most {steps:,} steps, "
        f"{e.dtype}, {device}, {seconds:.1f} s"
    )


def settings(at: Place) -> dict:
    """The settings of initialisation and training."""
    own = {
        "seed": at.experiment.network_seed,
        "seeds": at.experiment.seeds_at(at.width),
    }
    return keys("dtype", "model", "training")(at) | own


TRAIN = Stage(
    name="train",
    help="train all networks of one width, kernels measured on the way",
    per="width",
    makes="network.npz",
    run=run,
    reads=(DATASET,),
    settings=settings,
    sections=lambda at: (at.experiment.model, at.experiment.training),
    gpu=True,
    memory_mb=lambda at: cost.train_mb(at.experiment, at.width),
    flop=lambda at: cost.train_flop(at.experiment, at.width),
    seconds=lambda at: cost.train_seconds(at.experiment, at.width),
)
