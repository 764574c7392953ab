"""Compare kernels as matrices: relative change, cosine distance, alignment.

Kernels are (… n n) arrays; leading axes (seeds, snapshots) are kept. All functions
compute with NumPy in float64. `matrix` also takes arrays of JAX.
"""

import numpy as np


def matrix(kernel):
    """The kernel (n k m j) as the matrix (nk mj)."""
    n, k, m, j = kernel.shape[-4:]
    return kernel.reshape(*kernel.shape[:-4], n * k, m * j)


def relative_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """‖A − B‖_F / ‖A‖_F, (… n n) → (…)."""
    return _norm(after - before) / _norm(before)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 − ⟨A, B⟩/(‖A‖‖B‖), formed as ½‖A/‖A‖ − B/‖B‖‖².

    The difference 1 − x would lose all digits of distances below 1e-16, or below 1e-7
    in float32. Fort et al. 2020 call the cosine distance the kernel distance.
    """
    a = a / _norm(a)[..., None, None]
    b = b / _norm(b)[..., None, None]
    return 0.5 * _norm(a - b) ** 2


def alignment(kernel: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Centred alignment of a kernel (… n n) with targets y (… n k), in [−1, 1].

    ⟨HKH, HYYᵀH⟩ / (‖HKH‖ ‖HYYᵀH‖) with H = 1 − 11ᵀ/n (Cortes et al. 2012, CKA);
    NaN if the targets, or the kernel, are constant.
    """
    target = _centred(y @ np.swapaxes(y, -2, -1))
    kernel = _centred(kernel)
    scale = _norm(kernel) * _norm(target)
    inner = np.sum(kernel * target, axis=(-2, -1))
    return np.divide(inner, scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def extreme_eigenvalues(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """λ_min and λ_max of symmetric kernels (… n n)."""
    values = np.linalg.eigvalsh(kernel)
    return values[..., 0], values[..., -1]


def traced(kernel: np.ndarray) -> np.ndarray:
    """tr_k(Θ)/k, the mean over outputs of diagonal blocks, (… n k m k) → (… n m)."""
    return np.einsum("...niMi->...nM", kernel) / kernel.shape[-1]


def duplicates(x: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of equal points, each of which makes a kernel singular."""
    _, first, inverse = np.unique(x, axis=0, return_index=True, return_inverse=True)
    return [
        (int(first[j]), i) for i, j in enumerate(np.ravel(inverse)) if first[j] != i
    ]


def _norm(a: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum(np.square(a, dtype=float), axis=(-2, -1)))


def _centred(a: np.ndarray) -> np.ndarray:
    a = a - a.mean(-1, keepdims=True)
    return a - a.mean(-2, keepdims=True)
