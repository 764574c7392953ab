"""The cases in which PyTorch is timed; runs in its own environment, float32."""

import copy

import torch
from torch.func import functional_call, jacrev, vmap


def _network(width, depth, d):
    layers = [torch.nn.Linear(d, width), torch.nn.ReLU()]
    for _ in range(depth - 1):
        layers += [torch.nn.Linear(width, width), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))


def tutorial(points, width, depth, d, threads):
    """Θ by vmap of jacrev and one einsum per parameter: the torch.func tutorial."""
    torch.set_num_threads(threads)
    return _by_jacobians(_network(width, depth, d), torch.randn(points, d))


def tutorial_cnn(name, points, k, threads, side=16, channels=32):
    """The same for three convolutions of 3 × 3 and a mean over the image."""
    assert name == "cnn"
    torch.set_num_threads(threads)
    layers = []
    for inputs in (3, channels, channels):
        layers += [torch.nn.Conv2d(inputs, channels, 3, padding=1), torch.nn.ReLU()]
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(channels, k))
    return _by_jacobians(network, torch.randn(points, 3, side, side))


def _by_jacobians(network, x):
    params = {name: p.detach() for name, p in network.named_parameters()}

    def f(params, x):
        return functional_call(network, params, (x[None],))[0]

    def run():
        jacobians = vmap(jacrev(f), (None, 0))(params, x)
        flat = [j.flatten(2) for j in jacobians.values()]
        return sum(torch.einsum("Naf,Mbf->NMab", j, j) for j in flat)

    return run


def blog(points, width, depth, d, threads):
    """Θ by one backward pass per point in a Python loop: `ntk` of the blog's utils.py.

    By default (`zero_output`) the blog subtracts a copy of the initial network from the
    output, and `backward` computes the gradients of this copy, too.
    """
    torch.set_num_threads(threads)
    network, x = _network(width, depth, d), torch.randn(points, d)
    at_start = copy.deepcopy(network)
    size = sum(p.numel() for p in network.parameters())

    def run():
        y = network(x) - at_start(x)
        features = torch.zeros(points, size)
        for i in range(points):
            network.zero_grad()
            y[i].backward(retain_graph=True)
            gradient = torch.tensor([])
            for p in network.parameters():
                gradient = torch.cat((gradient, p.grad.reshape(-1)))
            features[i] = gradient
        return features @ features.T

    return run


def descent(points, width, depth, d, steps):
    """Full-batch gradient descent as it is usually written, on one thread."""
    torch.set_num_threads(1)
    network, x = _network(width, depth, d), torch.randn(points, d)
    y = torch.sin(x[:, :1])
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

    def run():
        for _ in range(steps):
            optimizer.zero_grad()
            loss = torch.sum((network(x) - y) ** 2) / (2 * points)
            loss.backward()
            optimizer.step()

    return run


CASES = {
    "tutorial": tutorial,
    "tutorial_cnn": tutorial_cnn,
    "blog": blog,
    "descent": descent,
}
