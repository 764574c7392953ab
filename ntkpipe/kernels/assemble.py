"""Assemble a kernel in host memory from its tiles.

XLA would copy a whole array to write one tile of it.
"""

import math

import numpy as np

STRIP = 16
"""Rows of a square that are mirrored at a time: columns of one cache line or two."""


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Empty array that XLA takes over as it is: it copies what does not start at 64."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def place(
    kernel: np.ndarray, rows: slice, columns: slice, square, mirrored: bool
) -> None:
    """Copy a square (a k b k), and its mirror image, into a kernel (n k m k).

    Mirrored in strips: numpy goes through an image by its columns otherwise, which
    took three to four times as long (512 points, float64: 0.50 and 0.14 ms).
    """
    square = np.asarray(square)
    kernel[rows, :, columns] = square
    if mirrored:
        image = kernel[columns, :, rows]
        strip = max(1, STRIP // square.shape[1])
        for i in range(0, len(square), strip):
            image[:, :, i : i + strip] = square[i : i + strip].transpose(2, 3, 0, 1)
