"""JAX: the whole step in one jitted function, which the first call compiles."""

import functools

import jax
import jax.numpy as jnp

VERSION = f"jax {jax.__version__}"

jax.config.update("jax_enable_x64", True)  # for the chains; float32 arrays stay float32


def make(workload, data):
    return chain(data) if workload.kind == "chain" else network(data)


def chain(data):
    a, b = jnp.asarray(data.a), jnp.asarray(data.b)

    def total(a, b):
        y = data.start
        for _ in range(data.links):
            y = y * a + b
        return y.sum()

    @jax.jit
    def value_and_gradients(a, b):
        y, (da, db) = jax.value_and_grad(total, argnums=(0, 1))(a, b)
        return y, da.sum(), db.sum()

    def step(_i):
        return tuple(map(float, value_and_gradients(a, b)))

    return step


def network(data):
    X, Y = jnp.asarray(data.images), jnp.asarray(data.labels, dtype=jnp.int32)
    batches = list(jnp.asarray(data.batches, dtype=jnp.int32))
    layers = [(jnp.asarray(W), jnp.asarray(b)) for W, b in data.weights]
    rows = jnp.arange(data.batches.shape[1])

    def loss(layers, x, y):
        for W, b in layers[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = layers[-1]
        return -jax.nn.log_softmax(x @ W + b)[rows, y].mean()

    @functools.partial(jax.jit, donate_argnums=0)  # the new weights take the old ones' memory
    def update(layers, X, Y, index):
        value, gradients = jax.value_and_grad(loss)(layers, X[index], Y[index])
        return value, jax.tree.map(lambda p, g: p - data.learning_rate * g, layers, gradients)

    def step(i):
        nonlocal layers
        value, layers = update(layers, X, Y, batches[i % len(batches)])
        return (float(value),)

    return step
