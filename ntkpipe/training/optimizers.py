"""Optimisers, as gradient transformations of optax."""

from ntkpipe.training.protocol import Training


def transformation(training: Training):
    """Gradient descent, the heavy ball v ← βv + g, w ← w − ηv, or Adam."""
    import optax  # not at the top, as optax imports JAX

    if training.optimizer == "adam":
        return optax.adam(training.learning_rate)
    return optax.sgd(training.learning_rate, training.heavy_ball or None)
