"""Kernels of PyTorch networks, for the study pytorch.yaml.

    python examples/pytorch.py [FOLDER]

writes the data pytorch_data.npz, and for each width n a file pytorch_n.npz with the
kernels before and after training and the first outputs of several networks. It needs
PyTorch, which ntkpipe does not.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

WIDTHS, NETWORKS = (32, 64, 128, 256), 16
POINTS, TEST, DIMENSION = 16, 8, 4
LEARNING_RATE, STEPS = 1.0, 200  # as in pytorch.yaml
torch.set_default_dtype(torch.float64)


class Dense(nn.Module):
    """W x/√d, with weights W_ij ∼ N(0, 1): the parametrisation of Jacot et al. 2018."""

    def __init__(self, d: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, d))
        self.scale = 1 / math.sqrt(d)

    def forward(self, x):
        """W x/√d of points (… d)."""
        return self.scale * x @ self.weight.T


def network(width: int) -> nn.Module:
    """Two hidden layers of tanh units, and one output."""
    return nn.Sequential(
        *(Dense(DIMENSION, width), nn.Tanh()),
        *(Dense(width, width), nn.Tanh()),
        Dense(width, 1),
    )


def kernel(net: nn.Module, x1, x2):
    """Θ_ij = Σ_w ∂f(x_i)/∂w ∂f(x_j)/∂w, (n m), of a network with one output."""
    params = {name: p.detach() for name, p in net.named_parameters()}

    def f(params, x):
        return functional_call(net, params, (x,))[0]

    def gradients(x):
        found = vmap(jacrev(f), (None, 0))(params, x)
        return torch.cat([g.flatten(1) for g in found.values()], 1)

    return gradients(x1) @ gradients(x2).T


def trained(net: nn.Module, x, y) -> None:
    """Gradient descent on 1/(2N) Σ (f − y)², which pytorch.yaml states, too."""
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (0.5 * (net(x) - y) ** 2).mean().backward()
        optimizer.step()


def main(folder: Path) -> None:
    """Write the data, and the kernels of all networks of each width."""
    torch.manual_seed(0)
    x = torch.randn(POINTS + TEST, DIMENSION)
    x = x / x.norm(dim=1, keepdim=True)
    y = x[:, :1] * x[:, 1:2] * DIMENSION
    (x, y), (x_test, y_test) = (x[:POINTS], y[:POINTS]), (x[POINTS:], y[POINTS:])
    data = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
    np.savez(folder / "pytorch_data.npz", **{k: v.numpy() for k, v in data.items()})
    for width in WIDTHS:
        networks = []
        for _ in range(NETWORKS):
            net = network(width)
            arrays = {
                "ntk": kernel(net, x, x),
                "ntk_test": kernel(net, x_test, x),
                "f_train": net(x).detach(),
                "f_test": net(x_test).detach(),
            }
            trained(net, x, y)
            networks.append(arrays | {"ntk_end": kernel(net, x, x)})
        # axes: networks, then points as in the data
        stacked = {k: torch.stack([n[k] for n in networks]) for k in networks[0]}
        path = folder / f"pytorch_{width}.npz"
        np.savez_compressed(path, **{k: v.numpy() for k, v in stacked.items()})
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
