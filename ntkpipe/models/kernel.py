"""A kernel that was computed elsewhere, in the place of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ntkpipe.models.base import Width
from ntkpipe.section import Fault, section
from ntkpipe.users.file import FilePath


@section
class Kernel:
    """Kernels that another program computed, from one file or one for each width.

    The outputs follow the linearised model, f ← f − (η/N) Θ₀ ∂ℓ/∂f. There are no
    weights, so all metrics of layers and weights but ‖w − w₀‖ are missing.
    """

    kind: Literal["kernel"]
    of: FilePath | Annotated[dict[Width, FilePath], Field(min_length=1)]
    """Path of a `.npz` file from the workflow's working directory, or {width: path}."""

    depth: ClassVar[int] = 0
    alpha: ClassVar[float] = 1.0
    layer_names: ClassVar[tuple[str, ...]] = ()
    weight_layers: ClassVar[int] = 0
    zero_output: ClassVar[str] = "none"
    starts_at_zero: ClassVar[bool] = False
    learned_output: ClassVar[bool] = True
    has_last_layer: ClassVar[bool] = False
    is_random: ClassVar[bool] = False
    has_infinite_limit: ClassVar[bool] = False

    def __hash__(self) -> int:
        return hash(str(self.of))

    def kernel_file(self, width: int) -> str:
        """Path of the kernels of a width."""
        return self.of if isinstance(self.of, str) else self.of[width]

    def unmet(self, e) -> Iterator[Fault]:
        """Keys of an experiment that need a network, and widths without a file."""
        if isinstance(self.of, str):
            if len(e.widths) > 1:
                text = f"one file for {len(e.widths)} widths: write {{width: path}}"
                yield Fault(("model", "of"), text)
        elif missing := sorted(set(e.widths) - set(self.of)):
            yield Fault(("model", "of"), f"no file for the widths {missing}")
        if e.has_limit:
            text = "the kernel of infinite width is not known for model.kind: kernel"
            yield Fault(("limit",), text)
        if e.linearize == "flow":
            text = "model.kind: kernel is trained by steps: leave it out"
            yield Fault(("linearize",), text)
        if e.data == "redraw":
            text = "model.kind: kernel has kernels of one data set"
            yield Fault(("data",), text)
        yield from (f.within("training") for f in self._unmet_training(e.training))

    def _unmet_training(self, training) -> Iterator[Fault]:
        from ntkpipe.training.recorders import RECORDERS

        for recorder in RECORDERS:
            keys: Any = fields(recorder.keys) if recorder.keys else ()
            for key in keys:
                if getattr(training, key.name):
                    text = "needs a network: model.kind: kernel has no weights"
                    yield Fault((key.name,), text)
        if not training.linear_updates:
            text = f"{training.optimizer} acts on single weights: use gd or momentum"
            yield Fault(("optimizer",), text)
        if training.decays_to_zero:
            text = "needs the weights, which model.kind: kernel lacks: use w0"
            yield Fault(("decay_to",), text)
        if training.snapshots > 2:
            text = "model.kind: kernel has 1, or 2 with `ntk_end` in its file"
            yield Fault(("snapshots",), text)
        if training.batch is not None:
            text = "model.kind: kernel takes all points in each step: leave it out"
            yield Fault(("batch",), text)
        if training.stop_at_loss is not None:
            text = "model.kind: kernel takes all steps: leave it out"
            yield Fault(("stop_at_loss",), text)

    def weights(self, width: int, d: int, k: int) -> int:
        """None."""
        return 0
