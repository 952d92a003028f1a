"""Images by hand: every window of a convolution copied into a row, as the lecture notes do."""

import numpy as np


def convolution(data):
    K, around, upstream = data.kernels, data.padding, data.upstream
    m, channels, rows, places = data.x.shape
    inside = (..., slice(around, around + rows), slice(around, around + places))
    padded_shape = (m, channels, rows + 2 * around, places + 2 * around)

    def step(_i):
        nonlocal found
        x = np.zeros(padded_shape, data.x.dtype)
        x[inside] = data.x
        windows = columns(x, K.shape[2])
        y = convolve(windows, K, np.float32(0))
        dK, _ = kernels(windows, upstream, K)
        found = y, to_image(upstream, K, padded_shape)[inside], dK

    found = None
    return step, lambda: found


def pooling(data):
    def step(_i):
        nonlocal found
        y, won = pool(data.x)
        found = y, unpool(data.upstream, won)

    found = None
    return step, lambda: found


def batch_norm(data):
    x, g = data.x, data.upstream
    channels = (1, x.shape[1], 1, 1)
    gamma, beta = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    mean_over_time, var_over_time = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    axes = {"axis": (0, 2, 3), "keepdims": True}
    m = x.size // x.shape[1]

    def step(_i):
        nonlocal found
        mean, var = x.mean(**axes), x.var(**axes)
        scale = 1 / np.sqrt(var + np.float32(1e-5))
        normal = (x - mean) * scale
        y = gamma * normal + beta
        mean_over_time[...] = 0.9 * mean_over_time + 0.1 * mean
        var_over_time[...] = 0.9 * var_over_time + 0.1 * (m / (m - 1)) * var
        d_gamma, d_beta = (g * normal).sum(**axes), g.sum(**axes)
        found = y, gamma * scale * (g - (d_beta + normal * d_gamma) / m), d_gamma, d_beta

    found = None
    return step, lambda: found


def columns(x, size):
    """Return every window as a row: (m, rows, columns, channels * size * size)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), *windows.shape[2:4], -1)


def convolve(windows, K, b):
    return (windows @ K.reshape(len(K), -1).T + b).transpose(0, 3, 1, 2)


def kernels(windows, g, K):
    rows = g.transpose(0, 2, 3, 1).reshape(-1, len(K))
    return (rows.T @ windows.reshape(len(rows), -1)).reshape(K.shape), rows.sum(axis=0)


def to_image(g, K, shape):
    """Return the gradient of the image: every window's share is added where it came from."""
    m, outputs, rows, places = g.shape
    parts = g.transpose(0, 2, 3, 1) @ K.reshape(outputs, -1)
    parts = parts.reshape(m, rows, places, *K.shape[1:]).transpose(4, 5, 0, 3, 1, 2)
    d = np.zeros(shape, g.dtype)
    for i in range(K.shape[2]):
        for j in range(K.shape[3]):
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
