"""A user's own arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ntkpipe import artifacts
from ntkpipe.data.base import BaseDataset, Data, Sizes
from ntkpipe.section import section


@section
class Npz(BaseDataset):
    """A user's own arrays x_train, y_train, x_test, y_test in a `.npz` file.

    If the file changes, all results that depend on it are computed again.
    """

    kind: Literal["npz"] = "npz"
    # {…} and <…> would be wildcards of Snakemake, and -… a command-line option
    path: Annotated[
        str,
        Field(pattern=r"^[^-\x00-\x1f{}<>][^\x00-\x1f{}<>]*$", max_length=1000),
    ]
    """Path, relative to the workflow's working directory; at most 2 GiB in float64."""

    is_random: ClassVar[bool] = False
    test_axis: ClassVar[str | None] = None

    @property
    def user_file(self) -> str:
        """Path of the user's file with the points."""
        return self.path

    @property
    def stated_sizes(self) -> None:
        """None: the sizes are found when the file is read."""
        return None

    @property
    def sizes(self) -> Sizes:
        """The sizes of the file's arrays; a guess if the file does not exist."""
        try:
            shapes = artifacts.users_shapes(self.path)
        except artifacts.ProductError:
            return Sizes(1000, 1000, 100, 1)
        (n, d), (m, _), (_, k) = (shapes[x] for x in ("x_train", "x_test", "y_train"))
        return Sizes(n, m, d, k)

    def with_file(self, path: str) -> Npz:
        """The same data set with its file at another path."""
        return replace(self, path=path)

    def sample(self, key) -> Data:
        """Read the arrays; refuse values that are not finite and shapes that differ."""
        del key
        return Data(**artifacts.read_user_data(self.path))
