"""A user's own arrays."""

from __future__ import annotations

from typing import ClassVar, Literal

from ntkpipe import artifacts
from ntkpipe.data.base import Data, Sizes, UserFile
from ntkpipe.section import section


@section
class Npz(UserFile):
    """A user's own arrays x_train, y_train, x_test, y_test in a `.npz` file.

    They take at most 2 GiB in float64. If the file changes, all results that depend on
    it are computed again.
    """

    kind: Literal["npz"] = "npz"

    is_random: ClassVar[bool] = False

    @property
    def sizes(self) -> Sizes:
        """The sizes of the file's arrays; a guess if the file does not exist."""
        try:
            shapes = artifacts.users_shapes(self.path)
        except artifacts.ProductError:
            return Sizes(1000, 1000, 100, 1)
        (n, d), (m, _), (_, k) = (shapes[x] for x in ("x_train", "x_test", "y_train"))
        return Sizes(n, m, d, k)

    def sample(self, key) -> Data:
        """Read the arrays; refuse values that are not finite and shapes that differ."""
        del key
        return Data(**artifacts.read_user_data(self.path))
