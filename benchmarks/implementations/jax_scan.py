"""JAX with a block of steps in one call, by lax.scan: nothing goes back to Python in between."""

import functools

import jax
from implementations import jax_
from jax import lax

VERSION = jax_.VERSION
STEPS_PER_CALL = 50


def training(kind):
    """Return the maker of a block of training steps; it answers with the losses of all."""

    def make(data):
        X, Y, batches, key = jax_.arrays(data)
        state, update = jax_.MODELS[kind](data)
        blocks = list(batches.reshape(-1, STEPS_PER_CALL, batches.shape[1]))

        @functools.partial(jax.jit, donate_argnums=0)
        def train(state, X, Y, block, key):
            key, *keys = jax.random.split(key, STEPS_PER_CALL + 1)

            def one(state, given):
                index, key = given
                value, state = update(state, X[index], Y[index], key)
                return state, value

            state, losses = lax.scan(one, state, (block, jax.numpy.stack(keys)))
            return losses, state, key

        def step(i):
            nonlocal state, key
            losses, state, key = train(state, X, Y, blocks[i % len(blocks)], key)
            return [(loss,) for loss in losses.tolist()]

        return step

    return make


# XLA's convolutions are many times slower inside a loop.
MAKERS = {kind: training(kind) for kind in jax_.MODELS if kind != "lenet"}
