"""A user's own arrays."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ntkpipe import artifacts
from ntkpipe.data.base import BaseDataset, Data, Sizes
from ntkpipe.section import section


@section
class Npz(BaseDataset):
    """A user's own arrays x_train, y_train, x_test, y_test in a `.npz` file.

    A file that was changed is another data set: all that was made from it is made anew.
    """

    kind: Literal["npz"] = "npz"
    # {…} and <…> are wildcards of Snakemake, -… an option on the command line
    path: Annotated[
        str,
        Field(pattern=r"^[^-\x00-\x1f{}<>][^\x00-\x1f{}<>]*$", max_length=1000),
    ]
    """Its path from the folder in which the workflow runs; 2 GiB in float64 at most."""

    test_axis: ClassVar[str | None] = None

    @property
    def user_file(self) -> str:
        """A user's own file that holds the points."""
        return self.path

    @property
    def stated_sizes(self) -> None:
        """None: points are counted when the file is read."""
        return None

    @property
    def sizes(self) -> Sizes:
        """How many points there are, if the file is there: else a guess."""
        try:
            shapes = artifacts.users_shapes(self.path)
        except artifacts.ProductError:
            return Sizes(1000, 1000, 100, 1)
        (n, d), (m, _), (_, k) = (shapes[x] for x in ("x_train", "x_test", "y_train"))
        return Sizes(n, m, d, k)

    def sample(self, key) -> Data:
        """Read the arrays, refusing what is not finite numbers of matching shapes."""
        del key
        return Data(**artifacts.read_user_data(self.path))
