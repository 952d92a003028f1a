"""MyGrad: tensors, its ReLU and cross-entropy, and an update written out."""

from importlib.metadata import version

import mygrad as mg
from mygrad.nnet import relu, softmax_crossentropy

VERSION = f"mygrad {version('mygrad')}, numpy {version('numpy')}"

mg.turn_memory_guarding_off()  # what its documentation advises for speed


def chain(data):
    a, b = mg.tensor(data.a), mg.tensor(data.b)

    def step(_i):
        y = mg.tensor(data.start, constant=True)
        for _ in range(data.links):  # using a and b again resets their gradients
            y = y * a + b
        y = y.sum() if y.ndim else y
        y.backward()
        return y.item(), float(a.grad.sum()), float(b.grad.sum())

    return step


def network(data):
    X, Y, batches, lr = data.images, data.labels, data.batches, data.learning_rate
    layers = [(mg.tensor(W), mg.tensor(b)) for W, b in data.weights]

    def step(i):
        index = batches[i % len(batches)]
        x = X[index]
        for W, b in layers[:-1]:
            x = relu(mg.matmul(x, W) + b)
        W, b = layers[-1]
        loss = softmax_crossentropy(mg.matmul(x, W) + b, Y[index])
        loss.backward()
        for layer in layers:
            for parameter in layer:
                parameter.data -= lr * parameter.grad
        return (loss.item(),)

    return step


MAKERS = {"chain": chain, "network": network}
