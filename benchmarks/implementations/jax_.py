"""JAX: the whole step in one jitted function, which the first call compiles; Adam from optax."""

import functools
from importlib.metadata import version
from importlib.util import find_spec

import jax
import jax.numpy as jnp
from jax import lax

OPTAX = find_spec("optax") is not None
VERSION = f"jax {jax.__version__}" + (f", optax {version('optax')}" if OPTAX else "")
COMPILES = True


def chain(data):
    jax.config.update("jax_enable_x64", True)
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


# ---- networks: a state, and a function of state, batch and random key to loss and state ----------


def cross_entropy(z, y):
    return -jax.nn.log_softmax(z)[jnp.arange(len(y)), y].mean()


def descended(parameters, gradients, rate):
    return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients)


def network(data):
    layers = [(jnp.asarray(W), jnp.asarray(b)) for W, b in data.weights]

    def loss(layers, x, y):
        for W, b in layers[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = layers[-1]
        return cross_entropy(x @ W + b, y)

    def update(layers, x, y, _key):
        value, gradients = jax.value_and_grad(loss)(layers, x, y)
        return value, descended(layers, gradients, data.learning_rate)

    return layers, update


def deep(data):
    pairs = [(jnp.asarray(W), jnp.asarray(b)) for W, b in data.weights]
    layers = [(W, b, jnp.ones_like(b), jnp.zeros_like(b)) for W, b in pairs[:-1]]
    averages = [(jnp.zeros_like(b), jnp.ones_like(b)) for _, b in pairs[:-1]]

    def loss(parameters, averages, x, y):
        layers, (W_out, b_out) = parameters
        m, after = len(x), []
        for (W, b, gamma, beta), (mean_over_time, var_over_time) in zip(
            layers, averages, strict=True
        ):
            z = x @ W + b
            mean, var = z.mean(axis=0), z.var(axis=0)
            x = jax.nn.relu(gamma * (z - mean) * lax.rsqrt(var + 1e-5) + beta)
            unbiased = var * (m / (m - 1))
            after.append((0.9 * mean_over_time + 0.1 * mean, 0.9 * var_over_time + 0.1 * unbiased))
        return cross_entropy(x @ W_out + b_out, y), after

    def update(state, x, y, _key):
        parameters, averages = state
        with_averages = jax.value_and_grad(loss, has_aux=True)
        (value, averages), gradients = with_averages(parameters, averages, x, y)
        return value, (descended(parameters, gradients, data.learning_rate), averages)

    return ((layers, pairs[-1]), averages), update


def lenet(data):
    layers = [(jnp.asarray(W), jnp.asarray(b)) for W, b in data.weights]

    def loss(layers, x, y):
        *convolutions, (W3, b3), (W4, b4) = layers
        x = x.reshape(-1, 1, 28, 28)
        for K, b in convolutions:
            x = jax.nn.relu(lax.conv(x, K, (1, 1), "VALID") + b[:, None, None])
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        x = jax.nn.relu(x.reshape(len(x), -1) @ W3 + b3)
        return cross_entropy(x @ W4 + b4, y)

    def update(layers, x, y, _key):
        value, gradients = jax.value_and_grad(loss)(layers, x, y)
        return value, descended(layers, gradients, data.learning_rate)

    return layers, update


def dropout(data):
    import optax

    layers = [(jnp.asarray(W), jnp.asarray(b)) for W, b in data.weights]
    optimizer = optax.adam(data.learning_rate)
    keep = 1 - data.dropout

    def loss(layers, x, y, key):
        for W, b in layers[:-1]:
            x = jax.nn.relu(x @ W + b)
            if data.dropout:
                key, one = jax.random.split(key)
                x = jnp.where(jax.random.bernoulli(one, keep, x.shape), x / keep, 0)
        W, b = layers[-1]
        return cross_entropy(x @ W + b, y)

    def update(state, x, y, key):
        layers, moments = state
        value, gradients = jax.value_and_grad(loss)(layers, x, y, key)
        changes, moments = optimizer.update(gradients, moments)
        return value, (optax.apply_updates(layers, changes), moments)

    return (layers, optimizer.init(layers)), update


MODELS = {"network": network, "deep": deep, "lenet": lenet}
if OPTAX:
    MODELS["dropout"] = dropout


def arrays(data):
    jax.config.update("jax_enable_x64", False)  # with it, random numbers would have 64 bits
    X, Y = jnp.asarray(data.images), jnp.asarray(data.labels, dtype=jnp.int32)
    return X, Y, jnp.asarray(data.batches, dtype=jnp.int32), jax.random.key(0)


def training(kind):
    """Return the maker of a training step of this kind of network."""

    def make(data):
        X, Y, batches, key = arrays(data)
        state, update = MODELS[kind](data)
        batches = list(batches)

        @functools.partial(jax.jit, donate_argnums=0)  # the new state takes the old one's memory
        def train(state, X, Y, index, key):
            key, drawn = jax.random.split(key) if data.dropout else (key, None)
            value, state = update(state, X[index], Y[index], drawn)
            return value, state, key

        def step(i):
            nonlocal state, key
            value, state, key = train(state, X, Y, batches[i % len(batches)], key)
            return (float(value),)

        return step

    return make


# ---- parts ---------------------------------------------------------------------------------------


def adam(data):
    import optax

    jax.config.update("jax_enable_x64", False)
    parameters = [jnp.array(p) for p in data.parameters]
    gradients = [jnp.array(g) for g in data.gradients]
    optimizer = optax.adam(data.learning_rate)
    state = parameters, optimizer.init(parameters)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, gradients):
        parameters, moments = state
        changes, moments = optimizer.update(gradients, moments)
        return optax.apply_updates(parameters, changes), moments

    def step(_i):
        nonlocal state
        state = jax.block_until_ready(update(state, gradients))

    return step, lambda: state[0]


def convolution(data):
    around = [(data.padding, data.padding)] * 2
    function = functools.partial(lax.conv_general_dilated, window_strides=(1, 1), padding=around)
    return part(data, function, jnp.asarray(data.kernels))


def pooling(data):
    windows = {"window_dimensions": (1, 1, 2, 2), "window_strides": (1, 1, 2, 2)}
    return part(data, lambda x: lax.reduce_window(x, -jnp.inf, lax.max, padding="VALID", **windows))


def batch_norm(data):
    jax.config.update("jax_enable_x64", False)
    channels = data.x.shape[1]
    m = data.x.size // channels
    averages = jnp.zeros(channels, jnp.float32), jnp.ones(channels, jnp.float32)

    def function(x, gamma, beta):
        mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
        normal = (x - mean[:, None, None]) * lax.rsqrt(var + 1e-5)[:, None, None]
        return gamma[:, None, None] * normal + beta[:, None, None], (mean, var * (m / (m - 1)))

    @jax.jit
    def forward_and_backward(x, gamma, beta, averages, upstream):
        y, pull, measured = jax.vjp(function, x, gamma, beta, has_aux=True)
        after = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, averages, measured)
        return (y, *pull(upstream)), after

    x, upstream = jnp.asarray(data.x), jnp.asarray(data.upstream)
    gamma, beta = jnp.ones(channels, jnp.float32), jnp.zeros(channels, jnp.float32)

    def step(_i):
        nonlocal found, averages
        answer = forward_and_backward(x, gamma, beta, averages, upstream)
        found, averages = jax.block_until_ready(answer)

    found = None
    return step, lambda: found


def part(data, function, *parameters):
    jax.config.update("jax_enable_x64", False)
    x, upstream = jnp.asarray(data.x), jnp.asarray(data.upstream)

    @jax.jit
    def forward_and_backward(upstream, *given):
        y, pull = jax.vjp(function, *given)
        return (y, *pull(upstream))

    def step(_i):
        nonlocal found
        found = jax.block_until_ready(forward_and_backward(upstream, x, *parameters))

    found = None
    return step, lambda: found


MAKERS = {"chain": chain, **{kind: training(kind) for kind in MODELS}}
MAKERS |= {"convolution": convolution, "pooling": pooling, "batch_norm": batch_norm}
if OPTAX:
    MAKERS["adam"] = adam
