"""Assemble a kernel in host memory from its tiles.

NumPy writes the tiles, because XLA would copy the whole kernel to write one tile.
"""

import math

import numpy as np

STRIP = 16
"""Rows of a tile that are transposed at a time: one or two cache lines of a column."""


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that XLA takes over without a copy.

    XLA takes over a buffer without a copy only if it is aligned to 64 bytes.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def place(
    kernel: np.ndarray, rows: slice, columns: slice, tile, mirrored: bool
) -> None:
    """Copy a tile (a k b k), and its transpose if `mirrored`, into a kernel (n k m k).

    The transpose is written in strips of rows. Otherwise NumPy would read the tile
    column by column, which takes 3.5 times as long (docs/performance.md).
    """
    tile = np.asarray(tile)
    kernel[rows, :, columns] = tile
    if mirrored:
        image = kernel[columns, :, rows]
        strip = max(1, STRIP // tile.shape[1])
        for i in range(0, len(tile), strip):
            image[:, :, i : i + strip] = tile[i : i + strip].transpose(2, 3, 0, 1)
