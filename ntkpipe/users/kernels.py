"""Kernels and outputs of networks, computed elsewhere, from a user's `.npz` file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntkpipe import artifacts
from ntkpipe.kernels.compare import matrix

NEEDED, OPTIONAL = ("ntk", "ntk_test"), ("ntk_end", "f_train", "f_test")
UNFIT = (
    "{path}: {reason}; expected a .npz of the arrays ntk (n n) or (n k n k) and "
    "ntk_test (m n) or (m k n k), and if known ntk_end as ntk, f_train (n k) and "
    "f_test (m k); each with a first axis for several networks"
)
# A kernel may lack symmetry and have negative eigenvalues up to this share of its
# largest number or eigenvalue: what float32 and TF32 leave.
TOLERANCE = 1e-3


class Given(NamedTuple):
    """The kernels and outputs of s networks, with p = 1 kernel of each, or 2.

    q is the number of outputs k, or 1 for a kernel of all outputs.
    """

    ntk: np.ndarray
    """(s p n q n q): at initialisation and, if p is 2, after training."""
    ntk_test_train: np.ndarray
    """(s 1 m q n q), at initialisation."""
    f_train: np.ndarray
    """(s 1 n k) outputs at initialisation; zero if the file has none."""
    f_test: np.ndarray
    """(s 1 m k) outputs at initialisation; zero if the file has none."""


def read(
    path: str | Path, n: int, m: int, k: int, *, traced: bool, after: bool, seeds: int
) -> Given:
    """Read the kernels of `seeds` networks at n training and m test points, k outputs.

    Args:
        path: the file.
        n: number of training points.
        m: number of test points.
        k: number of outputs.
        traced: whether there is one kernel for all outputs, `training.kernel: trace`.
        after: whether the kernel after training, `ntk_end`, is read.
        seeds: number of networks.

    Raises:
        ProductError: an array is missing, has another shape or is no kernel.
    """
    with artifacts.refusing(path, UNFIT):
        shapes = artifacts.npz_shapes(path, NEEDED, OPTIONAL)
        if after and "ntk_end" not in shapes:
            raise ValueError("no ntk_end: write training.snapshots: 1")
        several = len(shapes["ntk"]) in (3, 5)
        found = shapes["ntk"][0] if several else 1
        if found != seeds:
            raise ValueError(f"ntk is of {found} networks: write seeds: {found}")
        q = 1 if traced else k
        if len(shapes["ntk"]) < 4 and q > 1:
            raise ValueError(
                f"ntk has no axes for the {k} outputs: write training.kernel: trace"
            )
        with np.load(path, allow_pickle=False) as archive:

            def array(name: str, *shape: int) -> np.ndarray:
                found = archive[name]
                seen = found.shape if several else (1, *found.shape)
                # with one output, a file may have its axes or not
                without = tuple(size for size in shape if size > 1)
                if tuple(size for size in seen[1:] if size > 1) != without:
                    raise ValueError(
                        f"{name} has the shape {found.shape}, but the points need "
                        f"{' '.join(map(str, shape))}"
                    )
                if seen[0] != seeds:
                    raise ValueError(f"{name} is of {seen[0]} networks, not {seeds}")
                return artifacts.finite_numbers(name, found).reshape(seeds, 1, *shape)

            names = ("ntk", "ntk_end")[: 1 + after]
            given = Given(
                np.concatenate([array(name, n, q, n, q) for name in names], axis=1),
                array("ntk_test", m, q, n, q),
                array("f_train", n, k) if "f_train" in shapes else zeros(seeds, n, k),
                array("f_test", m, k) if "f_test" in shapes else zeros(seeds, m, k),
            )
        for place, name in enumerate(names):
            check(name, matrix(given.ntk[:, place]))
    return given


def zeros(seeds: int, points: int, outputs: int) -> np.ndarray:
    """Outputs (s 1 n k) of zero."""
    return np.zeros((seeds, 1, points, outputs))


def check(name: str, theta: np.ndarray) -> None:
    """Raise `ValueError` unless matrices (s n n) are symmetric with eigenvalues ≥ 0.

    Both hold for every kernel ∇f ∇fᵀ, up to `TOLERANCE`. Rows in another order than
    columns, or outputs in front of points, break them.
    """
    for number, of_seed in enumerate(theta):
        where = f"{name} of network {number}" if len(theta) > 1 else name
        if np.abs(of_seed - of_seed.T).max() > TOLERANCE * np.abs(of_seed).max():
            raise ValueError(f"{where} is not symmetric")
        low, high = np.linalg.eigvalsh(of_seed)[[0, -1]]
        if low < -TOLERANCE * high or high <= 0:
            raise ValueError(
                f"{where} has the eigenvalue {low:.3g}, but no kernel of gradients "
                "has a negative one, and not all are 0"
            )
