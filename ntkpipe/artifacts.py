"""Products on disk: written atomically, checked when read.

A product is a `.npz` (never a pickle) or a plain `.csv`. Its metadata are product,
study, variant, width, the settings it was made with (`spec`), and versions. A `.npz`
holds its metadata as an array. The metadata of a `.csv` are in its *record*,
`NAME.csv.json`, together with the checksum of the table.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import glob
import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntkpipe.lazy import Lazy
from ntkpipe.training import trajectory

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

FORMAT = 2
# The arrays of each product and their axes. The same letter means the same length.
PRODUCTS: dict[str, dict[str, str]] = {
    "dataset": {
        "x_train": "n d",
        "y_train": "n k",
        "x_test": "m d",
        "y_test": "m k",
    },
    "network": trajectory.ARRAYS,
    "linearized": {
        "step": "t",
        "loss": "s t",
        "f_train": "s t n k",
        "f_test": "s t m k",
        "weight_change": "s t",
        "seed": "s",
    },
    "limit": {
        "nngp_train_train": "n n",
        "nngp_test_train": "m n",
        "nngp_test_test": "m m",
        "ntk_train_train": "n n",
        "ntk_test_train": "m n",
        "ntk_test_test": "m m",
        "step": "t",
        "mean_train": "t n k",
        "mean_test": "t m k",
        "sd_train": "t n",
        "sd_test": "t m",
        "cov_test": "m m",
        "eigenvalues": "r e",  # r draws of the data
    },
}
# Arrays that a product may lack.
OPTIONAL = {"network": trajectory.OPTIONAL, "limit": {"eigenvalues": "r e"}}
TABLES: dict[str, tuple[str, ...]] = {
    "constancy": ("variant", "width", "seed", "step", "metric", "value"),
    "measurements": ("study", "variant", "width", "seed", "step", "metric", "value"),
    "claims": (),  # the fields of `ntkpipe.claims.Verdict`
    "figure": (),  # the columns depend on the figure
}
USER_ARRAYS = tuple(PRODUCTS["dataset"])
# Largest size of a user's arrays in float64, in bytes: 80,000 points of 3,072 numbers.
MOST_USER_BYTES = 2**31
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
DAMAGED = "{path} is damaged ({reason}): delete it and run again"
UNFIT = (
    "{path}: {reason}; expected a .npz of the arrays "
    f"{', '.join(USER_ARRAYS)}, (n d) or (n,)"
)
# Products in which a diverged network, marked by `diverged`, may hold NaN or infinity.
MAY_DIVERGE = ("network", "linearized")


class ProductError(Exception):
    """A product or a user's file can't be used; the message says what to do."""


class Product(NamedTuple):
    """A product and its metadata, as read from a file."""

    meta: dict[str, Any]
    data: Any  # dict of arrays, or a DataFrame

    @property
    def key(self) -> tuple:
        """(product, variant, width)."""
        return self.meta["product"], self.meta.get("variant"), self.meta.get("width")


def save(path: str | Path, arrays: Mapping[str, np.ndarray], meta: dict) -> None:
    """Write a product with its metadata as `.npz`, atomically."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    meta = {"format": FORMAT, **meta}
    _check_arrays(str(path), meta["product"], arrays)
    text = np.array(json.dumps(meta, sort_keys=True))
    with atomic(path) as file:
        np.savez(file, allow_pickle=False, meta=text, **arrays)


def save_table(path: str | Path, table: pd.DataFrame, meta: dict) -> None:
    """Write a product as a plain `.csv`, and its metadata as the record beside it."""
    table = table.infer_objects()
    body = table.to_csv(index=False, lineterminator="\n").encode()
    about = {"format": FORMAT, **meta, "sha256": checksum(body)}
    # text may look like a number: a study may be named 2024, a claim NA
    about["columns"] = {
        str(name): "str" if dtype.kind == "O" else str(dtype)
        for name, dtype in table.dtypes.items()
    }
    about["record_sha256"] = _digest(about)
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    with atomic(path) as file:
        file.write(body)
        file.flush()  # a full disk raises here, before either file is replaced
        # The record is replaced first, so that every table has a record. A kill between
        # the two leaves either a record without a table, which counts as not made, or a
        # record beside an older table, whose checksum differs: `load` refuses the pair.
        with atomic(record_of(path)) as record:
            record.write(text.encode())


def record_of(path: str | Path) -> Path:
    """Path of the record of a table: NAME.csv.json beside NAME.csv."""
    return Path(f"{path}.json")


def is_record(path: str | Path) -> bool:
    """Whether a path is the record of a table."""
    return str(path).endswith(".csv.json")


def load(path: str | Path) -> Product:
    """Read a product; raise `ProductError` if the file is damaged or no product."""
    if not Path(path).exists():
        raise ProductError(f"{path} does not exist: run the rule that makes it")
    with refusing(path, DAMAGED):
        product = _load_table(path) if str(path).endswith(".csv") else _load(path)
        if product.meta.get("format") != FORMAT:
            raise ValueError(f"format {product.meta.get('format')}, not {FORMAT}")
    return product


def load_meta(path: str | Path) -> dict[str, Any]:
    """The metadata of a product; its numbers are neither read nor checked."""
    with refusing(path, DAMAGED):
        if str(path).endswith(".csv"):
            return _record(path)
        with np.load(path, allow_pickle=False) as archive:
            return json.loads(str(archive["meta"]))


def check(path: str | Path, product: Product, expected: dict) -> None:
    """Raise unless the metadata of a product match `expected`."""
    for name, value in expected.items():
        if product.meta.get(name) != value:
            raise ProductError(
                f"{path} was made with another {name} ({product.meta.get(name)!r}, "
                f"not {value!r}): delete it and run again"
            )


def read_picture(path: str | Path, expected: str | None) -> bytes:
    """The bytes of a picture; raise `ProductError` if its checksum is not expected."""
    body = Path(path).read_bytes()
    with refusing(path, DAMAGED):
        if checksum(body) != expected:
            raise ValueError(
                "its checksum differs from that in the record of its table"
            )
    return body


def checksum(body: bytes) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(body).hexdigest()


def users_digest(path: str | Path) -> str | None:
    """SHA-256 of a user's file; None if the file can't be read."""
    try:
        now = os.stat(path)
        return _file_digest(path, now.st_mtime_ns, now.st_size, now.st_ino)
    except OSError:
        return None


@functools.cache  # planning asks for the same file once for each job
def _file_digest(path: str | Path, *_version: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def users_shapes(path: str | Path) -> dict[str, tuple[int, int]]:
    """Shapes of a user's arrays, from the `.npy` headers only.

    An array of one axis counts as one column.
    """
    with refusing(path, UNFIT):
        found = npz_shapes(path, USER_ARRAYS)
        for name, shape in found.items():
            if len(shape) not in (1, 2) or min(shape) < 1:
                raise ValueError(f"{name} has the shape {shape}")
    return {name: (shape[0], math.prod(shape[1:])) for name, shape in found.items()}


def npz_shapes(
    path: str | Path, needed: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a `.npz`, from their headers only.

    Raises:
        ValueError: an array is missing, or the arrays are too large in float64.
    """
    with zipfile.ZipFile(path) as archive:
        files = {f.filename.removesuffix(".npy"): f for f in archive.infolist()}
        if missing := [name for name in needed if name not in files]:
            raise ValueError(f"no {', '.join(missing)}; it has {str([*files])[:200]}")
        names = [*needed, *(name for name in optional if name in files)]
        _refuse_size(sum(files[name].file_size for name in names))
        shapes = {}
        for name in names:
            with archive.open(files[name]) as file:
                version = np.lib.format.read_magic(file)
                shapes[name], _, _ = HEADERS[version](file)
    # arrays of any type are converted to float64, 8 bytes a number
    _refuse_size(8 * sum(map(math.prod, shapes.values())))
    return shapes


def _refuse_size(size: int) -> None:
    if size > MOST_USER_BYTES:
        raise ValueError(f"unpacks to {size:,} bytes, at most {MOST_USER_BYTES:,}")


def read_user_data(path: str | Path) -> dict[str, np.ndarray]:
    """Read a user's arrays x_train, y_train, x_test, y_test.

    Each array holds finite numbers and has two axes (one axis counts as one column).
    """
    shapes, arrays = users_shapes(path), {}
    with refusing(path, UNFIT), np.load(path, allow_pickle=False) as archive:
        for name, shape in shapes.items():
            arrays[name] = finite_numbers(name, archive[name]).reshape(shape)
        _axes("dataset", arrays)
    return arrays


def finite_numbers(name: str, array: np.ndarray) -> np.ndarray:
    """A user's array in float64; raise `ValueError` if a value is no finite number."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} holds {array.dtype}, not numbers")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return array


@contextlib.contextmanager
def refusing(path: str | Path, text: str) -> Iterator[None]:
    """Turn any error into a `ProductError` with this text.

    All exceptions are caught, because damaged files make numpy, zipfile, zlib, tokenize
    and pandas raise errors of many types, including SyntaxError and OverflowError.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ProductError(text.format(path=path, reason=reason)) from error


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` once it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = os.strerror(error.errno)
            raise OSError(
                f"{path} is not written: {reason}; make room and run again; "
                "finished results are kept"
            ) from error
        raise


def _clear_leftovers(path: Path) -> None:
    """Remove temporary files of killed writers, which no process has locked."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError), open(leftover, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def write(path: str | Path, write_to: Callable[[IO[bytes]], Any]) -> None:
    """Write a file atomically with `write_to(file)`."""
    with atomic(path) as file:
        write_to(file)


def _load(path) -> Product:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(str(arrays.pop("meta")))
    _check_arrays(str(path), meta["product"], arrays)
    return Product(meta, arrays)


def _load_table(path) -> Product:
    meta, body = _record(path), Path(path).read_bytes()
    if meta.pop("sha256") != checksum(body):
        raise ValueError(f"its checksum differs from that in {record_of(path).name}")
    table = pd.read_csv(
        io.BytesIO(body),
        dtype=meta.pop("columns"),
        keep_default_na=False,
        na_values=[""],
    )
    missing = set(TABLES.get(meta["product"], ())) - set(table.columns)
    if missing:
        raise ValueError(f"no columns {sorted(missing)}")
    return Product(meta, table)


def _record(path: str | Path) -> dict[str, Any]:
    """The record of a table; raise if the record is missing or was changed."""
    record = record_of(path)
    if not record.exists():
        raise ValueError(f"its record {record.name} is missing")
    about = json.loads(record.read_bytes())
    if about.pop("record_sha256") != _digest(about):
        raise ValueError(f"the checksum of its record {record.name} is wrong")
    return about


def _digest(about: dict) -> str:
    """A checksum of a record."""
    return checksum(json.dumps(about, sort_keys=True).encode())


def _check_arrays(path: str, product: str, arrays: dict[str, np.ndarray]) -> None:
    schema = PRODUCTS[product]
    needed = set(schema) - set(OPTIONAL.get(product, ()))
    if not needed <= set(arrays) <= set(schema):
        raise ValueError(
            f"a {product} has the arrays {sorted(needed)}, not {sorted(arrays)}"
        )
    _axes(product, arrays)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not _may_diverge(product, name):
            if not np.isfinite(array).all():
                raise ValueError(f"{name} of {path} holds NaN or infinity")
    if product == "network":
        steady = ~arrays["diverged"]
        for name in ("loss", "f_train", "f_test", "weight_change", "ntk"):
            if not np.isfinite(arrays[name][steady]).all():
                raise ValueError(
                    f"{name} of {path} holds NaN or infinity in a network that is "
                    "not marked as diverged"
                )


def _may_diverge(product: str, name: str) -> bool:
    """Whether these numbers may be infinite because the learning rate is too large."""
    ensemble = product == "limit" and name.startswith(("mean_", "sd_", "cov_"))
    return product in MAY_DIVERGE or ensemble


def _axes(product: str, arrays: dict[str, np.ndarray]) -> None:
    """Compare the shapes of arrays with the schema: one letter, one length."""
    lengths: dict[str, int] = {"1": 1}
    redrawn = product == "dataset" and all(a.ndim == 3 for a in arrays.values())
    for name, array in arrays.items():
        axes = "r " * redrawn + PRODUCTS[product][name]
        shape, letters = array.shape, axes.split()
        if len(shape) != len(letters) or any(
            lengths.setdefault(letter, length) != length
            for letter, length in zip(letters, shape, strict=True)
        ):
            raise ValueError(f"{name} has the shape {shape}, not ({axes})")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
