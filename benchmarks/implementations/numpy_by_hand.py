"""What a good student writes: the derivatives by hand, on plain arrays."""

import numpy as np
from implementations import numpy_images as images

VERSION = f"numpy {np.__version__}"


def chain(data):
    a, b = data.a, data.b  # Python floats or arrays: the same code serves both

    def step(_i):
        y = data.start
        inputs = []
        for _ in range(data.links):
            inputs.append(y)
            y = y * a + b
        g = np.ones_like(y) if isinstance(y, np.ndarray) else 1.0
        da = db = 0.0
        for y_in in reversed(inputs):
            da = da + g * y_in
            db = db + g
            g = g * a
        return float(np.sum(y)), float(np.sum(da)), float(np.sum(db))

    return step


def network(data):
    X, Y, batches, lr = data.images, data.labels, data.batches, data.learning_rate
    layers = [(W.copy(), b.copy()) for W, b in data.weights]

    def step(i):
        index = batches[i % len(batches)]
        x, y = X[index], Y[index]
        inputs = []
        for W, b in layers[:-1]:
            inputs.append(x)
            x = np.maximum(x @ W + b, 0)
        inputs.append(x)
        W, b = layers[-1]
        loss, g = cross_entropy(x @ W + b, y)
        for k in reversed(range(len(layers))):
            W, b = layers[k]
            x = inputs[k]
            dW, db = x.T @ g, g.sum(axis=0)
            if k:
                g = (g @ W.T) * (x > 0)
            W -= lr * dW
            b -= lr * db
        return (float(loss),)

    return step


def deep(data):
    X, Y, batches, lr = data.images, data.labels, data.batches, data.learning_rate
    layers = [(W.copy(), b.copy(), np.ones_like(b), np.zeros_like(b)) for W, b in data.weights[:-1]]
    W_out, b_out = (p.copy() for p in data.weights[-1])
    averages = [(np.zeros_like(b), np.ones_like(b)) for _, b in data.weights[:-1]]

    def step(i):
        index = batches[i % len(batches)]
        x, y = X[index], Y[index]
        m = len(x)
        saved = []
        for (W, b, gamma, beta), (mean_over_time, var_over_time) in zip(
            layers, averages, strict=True
        ):
            z = x @ W + b
            mean, var = z.mean(axis=0), z.var(axis=0)
            scale = 1 / np.sqrt(var + np.float32(1e-5))
            normal = (z - mean) * scale
            saved.append((x, normal, scale))
            x = np.maximum(gamma * normal + beta, 0)
            mean_over_time[...] = 0.9 * mean_over_time + 0.1 * mean
            var_over_time[...] = 0.9 * var_over_time + 0.1 * (m / (m - 1)) * var
        loss, g = cross_entropy(x @ W_out + b_out, y)
        dW, db = x.T @ g, g.sum(axis=0)
        g = (g @ W_out.T) * (x > 0)
        W_out[...] -= lr * dW
        b_out[...] -= lr * db
        for k in reversed(range(len(layers))):
            W, b, gamma, beta = layers[k]
            x, normal, scale = saved[k]
            d_gamma, d_beta = (g * normal).sum(axis=0), g.sum(axis=0)
            g = (gamma * scale) * (g - (d_beta + normal * d_gamma) / m)
            dW, db = x.T @ g, g.sum(axis=0)
            if k:
                g = (g @ W.T) * (x > 0)
            for p, d in ((W, dW), (b, db), (gamma, d_gamma), (beta, d_beta)):
                np.subtract(p, lr * d, out=p)
        return (float(loss),)

    return step


def lenet(data):
    X, Y = data.images.reshape(-1, 1, 28, 28), data.labels
    batches, lr = data.batches, data.learning_rate
    parameters = [p.copy() for pair in data.weights for p in pair]
    K1, b1, K2, b2, W3, b3, W4, b4 = parameters

    def step(i):
        index = batches[i % len(batches)]
        x, y = X[index], Y[index]
        columns1 = images.columns(x, 5)
        a1 = np.maximum(images.convolve(columns1, K1, b1), 0)
        p1, won1 = images.pool(a1)
        columns2 = images.columns(p1, 5)
        a2 = np.maximum(images.convolve(columns2, K2, b2), 0)
        p2, won2 = images.pool(a2)
        flat = p2.reshape(len(x), -1)
        a3 = np.maximum(flat @ W3 + b3, 0)
        loss, g4 = cross_entropy(a3 @ W4 + b4, y)

        g3 = (g4 @ W4.T) * (a3 > 0)
        g2 = images.unpool((g3 @ W3.T).reshape(p2.shape), won2) * (a2 > 0)
        g1 = images.unpool(images.to_image(g2, K2, p1.shape), won1) * (a1 > 0)
        gradients = (
            *images.kernels(columns1, g1, K1),
            *images.kernels(columns2, g2, K2),
            *(flat.T @ g3, g3.sum(axis=0)),
            *(a3.T @ g4, g4.sum(axis=0)),
        )
        for p, d in zip(parameters, gradients, strict=True):
            np.subtract(p, lr * d, out=p)
        return (float(loss),)

    return step


def dropout(data):
    X, Y, batches, p_drop = data.images, data.labels, data.batches, data.dropout
    layers = [(W.copy(), b.copy()) for W, b in data.weights]
    parameters = [p for layer in layers for p in layer]
    update = adam_rule(parameters, data.learning_rate)
    rng = np.random.default_rng(0)

    def step(i):
        index = batches[i % len(batches)]
        x, y = X[index], Y[index]
        inputs, masks = [], []
        for W, b in layers[:-1]:
            inputs.append(x)
            z = x @ W + b
            mask = (rng.random(z.shape, dtype=np.float32) >= p_drop) / np.float32(1 - p_drop)
            masks.append(mask * (z > 0))
            x = z * masks[-1]
        inputs.append(x)
        W, b = layers[-1]
        loss, g = cross_entropy(x @ W + b, y)
        gradients = []
        for k in reversed(range(len(layers))):
            gradients = [inputs[k].T @ g, g.sum(axis=0), *gradients]
            if k:
                g = (g @ layers[k][0].T) * masks[k - 1]
        update(gradients)
        return (float(loss),)

    return step


def adam(data):
    parameters = [p.copy() for p in data.parameters]
    update = adam_rule(parameters, data.learning_rate)
    return (lambda _i: update(data.gradients)), lambda: parameters


def adam_rule(parameters, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Return Adam's update as its paper writes it."""
    averages = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    t = 0

    def update(gradients):
        nonlocal t
        t += 1
        for p, g, (m, v) in zip(parameters, gradients, averages, strict=True):
            m[...] = beta1 * m + (1 - beta1) * g
            v[...] = beta2 * v + (1 - beta2) * g**2
            p -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)  # noqa: PLW2901

    return update


def cross_entropy(z, y):
    rows = np.arange(len(z))
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    loss = np.mean(np.log(total[:, 0]) - z[rows, y])
    p /= total
    p[rows, y] -= 1
    return loss, p / len(z)


MAKERS = {
    "chain": chain,
    "network": network,
    "deep": deep,
    "dropout": dropout,
    "lenet": lenet,
    "adam": adam,
    "convolution": images.convolution,
    "pooling": images.pooling,
    "batch_norm": images.batch_norm,
}
