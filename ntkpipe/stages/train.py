"""Train all networks of one width, and record their kernels during training."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ntkpipe import cost, provenance
from ntkpipe.progress import Progress
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.stage import Place, Stage, keys

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment
    from ntkpipe.metric import Arrays
    from ntkpipe.training.trajectory import Trajectory


def run(job: Job) -> None:
    """Train all networks of one width, record their kernels, and write network.npz."""
    e, width, begin = job.experiment, job.at.width, time.monotonic()
    data = job.read("dataset")
    e.training.loss.check(data["y_train"])
    train = of_networks if job.file is None else partial(of_kernels, job.file)
    trajectory = train(e, width, data)
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


def of_networks(e: Experiment, width: int, data: Arrays) -> Trajectory:
    """Draw and train networks."""
    import jax

    from ntkpipe import training
    from ntkpipe.data.base import Data

    return training.train(
        e.model,
        e.training,
        Data(**data),
        width,
        jax.random.key(e.seed),
        e.seeds_at(width),
        e.dtype,
        Progress(),
    )


def of_kernels(file: str, e: Experiment, width: int, data: Arrays) -> Trajectory:
    """Train the outputs of networks whose kernels a user's file has."""
    from ntkpipe.training import of_kernels
    from ntkpipe.users import kernels

    (n, k), m = data["y_train"].shape, len(data["x_test"])
    given = kernels.read(
        file,
        n,
        m,
        k,
        traced=e.training.kernel == "trace",
        after=len(e.training.snapshot_indices()) > 1,
        seeds=e.seeds_at(width),
    )
    return of_kernels.train(e, width, given, data)


def kernel_file(at: Place) -> str | None:
    """Path of the kernels of a width, if they stand in the place of networks."""
    model: Any = at.experiment.model
    return None if at.experiment.has_networks else model.kernel_file(at.width)


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
    file=kernel_file,
    sections=lambda at: (at.experiment.model, at.experiment.training),
    gpu=True,
    memory_mb=lambda at: cost.train_mb(at.experiment, at.width),
    flop=lambda at: cost.train_flop(at.experiment, at.width),
    seconds=lambda at: cost.train_seconds(at.experiment, at.width),
)
