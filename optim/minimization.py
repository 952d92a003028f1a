"""SciPy's minimizers on the vector θ of everything that is optimized, with exact derivatives.

For losses of the whole data set and not too many parameters: conjugate gradients, BFGS, L-BFGS,
Newton's method and trust regions (lesson 4 of the notes, "variations on gradient descent").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_course import nested
from tinygrad_course.buffers import note_write
from tinygrad_course.errors import ArgumentError, ShapeError
from tinygrad_course.functions import sum as total
from tinygrad_course.tensor import Tensor
from tinygrad_course.transforms import gradients, hvp, value_and_grad

METHODS: dict[str, tuple[str, ...]] = {
    "Nelder-Mead": (),
    "Powell": (),
    "COBYLA": (),
    "CG": ("jac",),
    "BFGS": ("jac",),
    "L-BFGS-B": ("jac",),
    "TNC": ("jac",),
    "SLSQP": ("jac",),
    "Newton-CG": ("jac", "hessp"),
    "trust-ncg": ("jac", "hessp"),
    "trust-krylov": ("jac", "hessp"),
    "trust-constr": ("jac", "hessp"),
    "dogleg": ("jac", "hess"),
    "trust-exact": ("jac", "hess"),
    "newton": ("jac", "hess"),
}
"""What each method is given besides the loss: gradient, Hessian-vector product, or Hessian."""


def minimize(
    fun: Callable[..., Any],
    params: Any,
    method: str = "BFGS",
    *,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
    callback: Callable[[Any], Any] | None = None,
    **scipy_options: Any,
) -> Any:
    """Minimize a function, or the loss of a model, by one of SciPy's methods.

    The parameters are flattened into one vector θ; the gradient and, for methods of second order,
    the product of the Hessian with a vector (or the Hessian, column by column) are exact. Besides
    SciPy's methods there is "newton", the plain Newton step Δθ = -H⁻¹∇C of the notes, with the
    options "maxiter" (50) and "gtol" (1e-8, for the largest |∂C/∂θ|).

    Args:
        fun: a function of the parameters that returns the loss; or, for a model, a function without
            arguments that computes its loss (and does not call backward).
        params: an array or nested dicts and lists of arrays; or a model, or a list of its Tensors.
        method: a key of `METHODS`, in capital or small letters.
        tol: see `scipy.optimize.minimize`.
        options: of the method, as "maxiter".
        callback: called after every iteration with a result that holds `nit`, `fun` and `x`;
            returns true to stop.
        **scipy_options: passed on, as `bounds`.

    Returns:
        SciPy's OptimizeResult. `x` and `jac` have the nesting of `params`, `theta` is the vector;
        of a model they are lists, and its parameters hold the solution.

    Raises:
        ArgumentError: the method is unknown, or the parameters are not floating numbers.
        ImportError: SciPy is not installed.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import optim
        >>> def rosenbrock(p):
        ...     return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2
        >>> found = optim.minimize(rosenbrock, {"x": -1.0, "y": 2.0}, method="trust-krylov")
        >>> found.success, {name: round(float(value), 5) for name, value in found.x.items()}
        (True, {'x': 1.0, 'y': 1.0})

    Source: lesson 4 of the notes; Nocedal and Wright, Numerical Optimization.
    """
    name = _known(method)
    optimize = _scipy()
    tensors = _parameters(params)
    problem = _Model(fun, tensors) if tensors else _Function(fun, params)
    given = {
        "jac": problem.gradient,
        "hessp": problem.product,
        "hess": problem.hessian,
    }
    start = problem.start
    try:
        result = optimize.minimize(
            problem.value,
            start,
            method=_newton if name == "newton" else name,
            tol=tol,
            options=dict(options or {}),
            callback=_reporting(problem, callback, optimize),
            **{key: given[key] for key in METHODS[name]},
            **scipy_options,
        )
    except BaseException:
        problem.settle(start)
        raise
    result.theta = result.x
    result.x = problem.restored(result.theta)
    if "jac" in METHODS[name]:
        result.jac = problem.restored(problem.gradient(result.theta))
    problem.settle(result.theta)
    return result


def _known(method: Any) -> str:
    found = {name.lower(): name for name in METHODS}.get(str(method).lower())
    if found is None:
        raise ArgumentError(
            f"minimize: method {method!r} is unknown; there are {', '.join(METHODS)}"
        )
    return found


def _scipy() -> ModuleType:
    try:
        import scipy.optimize  # noqa: PLC0415 - slow to import, and only in the extra `course`
    except ImportError as error:
        raise ImportError(
            "minimize needs SciPy: python -m pip install 'tinygrad_course[course]'"
        ) from error
    module: ModuleType = scipy.optimize
    return module


def _parameters(params: Any) -> list[Tensor]:
    """Return the Tensors of a model or a list of Tensors; none, if the loss is a function of x."""
    if hasattr(params, "parameters"):
        return list(params.parameters())
    if isinstance(params, Tensor):
        params = [params]
    elif not isinstance(params, dict | np.ndarray | float | int):
        params = list(params)
    listed = nested.leaves(params)
    kinds = {isinstance(leaf, Tensor) and leaf.requires_grad for leaf in listed}
    return listed if kinds == {True} else []


def _reporting(problem: Any, callback: Any, optimize: ModuleType) -> Any:
    """Return a callback for SciPy that gives ours the loss and the parameters in their nesting."""
    if callback is None:
        return None
    iterations = 0

    def report(theta: Any, *_: Any) -> None:
        nonlocal iterations
        iterations += 1
        state = optimize.OptimizeResult(
            nit=iterations, fun=problem.value(theta), x=problem.restored(theta)
        )
        if callback(state):
            raise StopIteration

    return report


class _Problem:
    """A loss as a function of the vector θ."""

    def __init__(self, leaves: list[Any]) -> None:
        arrays = [np.asarray(leaf) for leaf in leaves]
        for i, array in enumerate(arrays):
            if array.dtype.kind != "f":
                raise ArgumentError(
                    f"minimize: parameter {i} has dtype {array.dtype}, expected floating numbers"
                )
        if not arrays:
            raise ArgumentError("minimize: got no parameters")
        self.shapes = [array.shape for array in arrays]
        self.dtypes = [array.dtype for array in arrays]
        self.start = _vector(arrays)
        self._seen: tuple[bytes, float, Any] | None = None

    def pieces(self, theta: Any) -> list[np.ndarray]:
        """Cut a vector into arrays of the parameters' shapes and dtypes."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        parts = np.split(np.asarray(theta), np.cumsum(sizes)[:-1])
        return [
            part.reshape(shape).astype(dtype)
            for part, shape, dtype in zip(parts, self.shapes, self.dtypes, strict=True)
        ]

    def both(self, theta: Any) -> tuple[float, Any]:
        """Return loss and gradient; SciPy asks for one after the other at the same place."""
        key = np.asarray(theta).tobytes()
        if self._seen is None or self._seen[0] != key:
            self._seen = (key, *self.evaluate(theta))
        return self._seen[1:]

    def value(self, theta: Any) -> float:
        """Return the loss."""
        return self.both(theta)[0]

    def gradient(self, theta: Any) -> Any:
        """Return the gradient as a vector."""
        return self.both(theta)[1].copy()

    def hessian(self, theta: Any) -> Any:
        """Return the Hessian, one product a column."""
        return np.stack([self.product(theta, unit) for unit in np.eye(self.start.size)], axis=1)

    def evaluate(self, theta: Any) -> tuple[float, Any]:
        """Compute loss and gradient."""
        raise NotImplementedError

    def product(self, theta: Any, vector: Any) -> Any:
        """Return the Hessian times a vector."""
        raise NotImplementedError

    def restored(self, theta: Any) -> Any:
        """Return a vector in the nesting of the parameters."""
        return self.pieces(theta)

    def settle(self, theta: Any) -> None:
        """Take a solution over."""


class _Function(_Problem):
    """A function of arrays in nested containers."""

    def __init__(self, fun: Callable[..., Any], params: Any) -> None:
        self.params = params
        super().__init__(nested.leaves(params))
        self._derivative, self._product = value_and_grad(fun), hvp(fun)

    def evaluate(self, theta: Any) -> tuple[float, Any]:
        loss, slope = self._derivative(self.restored(theta))
        return float(loss), _vector(nested.leaves(slope))

    def product(self, theta: Any, vector: Any) -> Any:
        found = self._product(self.restored(theta), self.restored(vector))
        return _vector(nested.leaves(found))

    def restored(self, theta: Any) -> Any:
        return nested.rebuilt(self.params, self.pieces(theta))


class _Model(_Problem):
    """A loss that depends on the values of Tensors."""

    def __init__(self, fun: Callable[..., Any], tensors: list[Tensor]) -> None:
        self.fun, self.tensors = fun, tensors
        super().__init__([p.data for p in tensors])

    def settle(self, theta: Any) -> None:
        for p, piece in zip(self.tensors, self.pieces(theta), strict=True):
            data = p.data
            data[...] = piece
            note_write(data, "minimize()")

    def _loss(self, theta: Any) -> Any:
        self.settle(theta)
        loss = self.fun()
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise ShapeError(
                f"minimize: the function must return the loss, a Tensor of one element, got "
                f"{type(loss).__name__} of shape {np.shape(loss)}"
            )
        return loss

    def _slopes(self, loss: Any, create_graph: bool) -> list[Any]:
        found = gradients(loss, self.tensors, create_graph=create_graph)
        return [
            np.zeros(p.shape, p.dtype) if g is None else g
            for g, p in zip(found, self.tensors, strict=True)
        ]

    def evaluate(self, theta: Any) -> tuple[float, Any]:
        loss = self._loss(theta)
        return loss.item(), _vector(self._slopes(loss, create_graph=False))

    def product(self, theta: Any, vector: Any) -> Any:
        slopes = self._slopes(self._loss(theta), create_graph=True)
        along: Any = 0.0
        for slope, piece in zip(slopes, self.pieces(vector), strict=True):
            along = along + total(slope * piece)
        if not getattr(along, "requires_grad", False):  # the loss is linear
            return np.zeros(self.start.size)
        return _vector(self._slopes(along, create_graph=False))


def _vector(arrays: list[Any]) -> Any:
    """Return arrays one after the other, as SciPy's float64."""
    return np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in arrays])


def _newton(
    fun: Callable[..., float],
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    jac: Callable[..., Any],
    hess: Callable[..., Any],
    callback: Callable[[Any], Any] | None = None,
    maxiter: int = 50,
    gtol: float = 1e-8,
    **_: Any,
) -> Any:
    """Take plain Newton steps, as a method for `scipy.optimize.minimize`."""
    x, message, iterations = np.array(x0), "", 0
    while not message:
        slope = jac(x, *args)
        if np.abs(slope).max() <= gtol:
            message = "The gradient is small enough."
        elif iterations == maxiter:
            message = "Maximum number of iterations has been exceeded."
        else:
            try:
                x = x - np.linalg.solve(hess(x, *args), slope)
            except np.linalg.LinAlgError:
                message = "The Hessian is singular."
            else:
                iterations += 1
                if callback is not None:
                    try:
                        callback(x)
                    except StopIteration:
                        message = "The callback stopped it."
    success = message.startswith("The gradient")
    return _scipy().OptimizeResult(
        x=x,
        fun=fun(x, *args),
        jac=jac(x, *args),
        nit=iterations,
        success=success,
        status=0 if success else 1,
        message=message,
    )


__all__ = ["METHODS", "minimize"]
