"""What a good student writes: the derivatives by hand, on plain arrays."""

import numpy as np

VERSION = f"numpy {np.__version__}"


def make(workload, data):
    return {"chain": chain, "network": network, "deep": deep, "lenet": lenet}[workload.kind](data)


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
        columns1 = columns(x)
        a1 = np.maximum(convolve(columns1, K1, b1), 0)
        p1, won1 = pool(a1)
        columns2 = columns(p1)
        a2 = np.maximum(convolve(columns2, K2, b2), 0)
        p2, won2 = pool(a2)
        flat = p2.reshape(len(x), -1)
        a3 = np.maximum(flat @ W3 + b3, 0)
        loss, g4 = cross_entropy(a3 @ W4 + b4, y)

        g3 = (g4 @ W4.T) * (a3 > 0)
        g2 = unpool((g3 @ W3.T).reshape(p2.shape), won2) * (a2 > 0)
        g1 = unpool(to_image(g2, K2, p1.shape), won1) * (a1 > 0)
        gradients = (
            *kernels(columns1, g1, K1),
            *kernels(columns2, g2, K2),
            *(flat.T @ g3, g3.sum(axis=0)),
            *(a3.T @ g4, g4.sum(axis=0)),
        )
        for p, d in zip(parameters, gradients, strict=True):
            np.subtract(p, lr * d, out=p)
        return (float(loss),)

    return step


def columns(x):
    """Return every 5x5 window as a row: (m * rows * columns, channels * 25)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), *windows.shape[2:4], -1)


def convolve(windows, K, b):
    return (windows @ K.reshape(len(K), -1).T + b).transpose(0, 3, 1, 2)


def kernels(windows, g, K):
    rows = g.transpose(0, 2, 3, 1).reshape(-1, len(K))
    return (rows.T @ windows.reshape(len(rows), -1)).reshape(K.shape), rows.sum(axis=0)


def to_image(g, K, shape):
    m, outputs, rows, places = g.shape
    parts = g.transpose(0, 2, 3, 1) @ K.reshape(outputs, -1)
    parts = parts.reshape(m, rows, places, *K.shape[1:]).transpose(4, 5, 0, 3, 1, 2)
    d = np.zeros(shape, g.dtype)
    for i in range(5):
        for j in range(5):
            d[:, :, i : i + rows, j : j + places] += parts[i, j]
    return d


def pool(a):
    """Return the maxima of 2x2 windows and which of the four places held the first of them."""
    m, channels, rows, places = a.shape
    windows = a.reshape(m, channels, rows // 2, 2, places // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    windows = windows.reshape(*windows.shape[:4], 4)
    return windows.max(axis=-1), windows.argmax(axis=-1)


def unpool(g, won):
    d = np.zeros((*g.shape, 4), g.dtype)
    np.put_along_axis(d, won[..., None], g[..., None], axis=-1)
    m, channels, rows, places = g.shape
    d = d.reshape(m, channels, rows, places, 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return d.reshape(m, channels, 2 * rows, 2 * places)


def cross_entropy(z, y):
    rows = np.arange(len(z))
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    loss = np.mean(np.log(total[:, 0]) - z[rows, y])
    p /= total
    p[rows, y] -= 1
    return loss, p / len(z)
