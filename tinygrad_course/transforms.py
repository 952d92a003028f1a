"""Derivatives as functions: what `backward` does, without touching any ``.grad``.

`gradients` differentiates Tensors that have been computed. The others take a function and give a
function. Inside, the arguments that are differentiated are Tensors; outside they may be arrays,
Python floats, Tensors, or nested containers of these, and results come back as what was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_course import functions, nested
from tinygrad_course.calls import (
    Call,
    argument_places,
    differentiable,
    entered,
    is_complex,
    twin,
    upstream,
)
from tinygrad_course.errors import ArgumentError, DtypeError, GraphError, ShapeError
from tinygrad_course.graph import SCOPE, Value, enable_grad, gradients_of
from tinygrad_course.tensor import Tensor

Function = Callable[..., Any]


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> Any:
    """Return the gradient of the sum of the outputs with respect to each input.

    Args:
        outputs: one Tensor or several.
        inputs: one Tensor or several, leaves or intermediate results, that require grad.
        grad_outputs: one upstream gradient per output; may be left out for outputs of one element.
        retain_graph: keep the saved values; by default as `create_graph`.
        create_graph: record the backward pass, so that the results can be differentiated again.

    Returns:
        One gradient for one input, a tuple for a sequence of inputs; an array, or a Tensor with
        `create_graph`; None for an input that no output depends on.

    Raises:
        GraphError: an input does not require grad, or an output of several elements has no
            upstream gradient.
        ShapeError: an upstream gradient does not have its output's shape.

    Example:
        >>> import tinygrad_course as tc
        >>> x = tc.Tensor(2.0, requires_grad=True)
        >>> slope = tc.gradients(x**3, x, create_graph=True)
        >>> curvature = tc.gradients(slope, x)
        >>> float(slope), float(curvature)
        (12.0, 12.0)
    """
    roots, targets = _listed("outputs", outputs), _listed("inputs", inputs)
    for i, target in enumerate(targets):
        if not isinstance(target, Value) or not target._needs:
            raise GraphError(f"gradients: input {i} is not a Tensor that requires grad")
    if grad_outputs is None:
        given: list[Any] = [None] * len(roots)
    else:
        given = (
            [grad_outputs] if isinstance(outputs, Value) else _listed("grad_outputs", grad_outputs)
        )
    if len(given) != len(roots):
        raise ArgumentError(
            f"gradients: got {len(given)} grad_outputs for {len(roots)} outputs; give one each"
        )
    starts = [
        _start(i, root, start, create_graph)
        for i, (root, start) in enumerate(zip(roots, given, strict=True))
    ]
    found = gradients_of(
        roots,
        targets,
        starts,
        create_graph=create_graph,
        retain_graph=create_graph if retain_graph is None else retain_graph,
    )
    if not create_graph:
        found = [np.asarray(g) if isinstance(g, np.generic) else g for g in found]
    return found[0] if isinstance(inputs, Value) else tuple(found)


def _listed(name: str, given: Any) -> list[Any]:
    if isinstance(given, Value):
        return [given]
    if not isinstance(given, Iterable):
        raise ArgumentError(
            f"gradients: {name} is {type(given).__name__}, not a Tensor or a list of Tensors"
        )
    return list(given)


def _start(index: int, root: Tensor, start: Any, create_graph: bool) -> Any:
    """Return the upstream gradient of output `index` as the carrier that the walk needs."""
    if not isinstance(root, Value):
        raise ArgumentError(f"gradients: output {index} is {type(root).__name__}, not a Tensor")
    if start is None:
        if root.size != 1:
            raise GraphError(f"gradients: output {index} has shape {root.shape}; pass grad_outputs")
        start = np.ones(root.shape, root.dtype)[()]
    elif np.shape(start) != root.shape:
        raise ShapeError(
            f"gradients: grad_outputs[{index}] has shape {np.shape(start)}, expected {root.shape}"
        )
    if create_graph:
        return start if isinstance(start, Tensor) else Tensor(start, dtype=root.dtype)
    raw = start._data if isinstance(start, Value) else np.asarray(start)[()]
    return raw.astype(root.dtype)


# ---- gradients of functions ------------------------------------------------------------------


def grad(
    f: Function,
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Function:
    """Return the function that computes the gradient of `f`: ∂f/∂x, of the shape of x.

    For complex x the gradient of a real f is ∂f/∂x - i ∂f/∂y (JAX's and HIPS autograd's; the
    conjugate of PyTorch's): descend along its conjugate. Where f does not depend on x it is zeros.

    Args:
        f: returns one real number, a result of one element.
        argnums: which positional argument to differentiate, or several; the others are passed to
            `f` as they are, like keyword arguments.
        has_aux: `f` returns ``(value, aux)``, and only `value` is differentiated.
        holomorphic: `f` is a complex function of complex arguments with a complex derivative f',
            which is returned.

    Returns:
        A function of the arguments of `f`. It returns a gradient in the nesting of the argument,
        with None for what has no derivative there (whole numbers, texts, None); for several
        `argnums` a tuple of them; with `has_aux` ``(gradient, aux)``. Arrays and Python floats
        give arrays, Tensors give Tensors. What depends on a recorded Tensor of the caller's, an
        argument or one that `f` captures, is a recorded Tensor; inside `no_grad` never.

    Raises:
        ShapeError: `f` returned several numbers.
        DtypeError: the argument holds no floating or complex number, or `f` returned a whole or
            complex number.
        ArgumentError: `f` is no function, `argnums` points to no argument, or `f` returned no
            number.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> def loss(parameters, x):
        ...     return ((x @ parameters["w"] + parameters["b"]) ** 2).sum()
        >>> tc.grad(loss)({"w": np.array([1.0, 2.0]), "b": 0.5}, np.array([[1.0, 3.0]]))
        {'w': array([15., 45.]), 'b': array(15.)}
        >>> tc.grad(tc.grad(lambda x: x**3))(2.0)
        array(12.)

    Source: JAX and HIPS autograd, whose name and arguments these are.
    """
    return _gradient("grad", f, argnums, has_aux, holomorphic)


def value_and_grad(
    f: Function,
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Function:
    """Return the function that computes ``(f(x), ∂f/∂x)`` in one forward and one backward pass.

    Arguments and errors are those of `grad`.

    Returns:
        A function that returns ``(value, gradient)``, or with `has_aux`
        ``((value, aux), gradient)``.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.value_and_grad(lambda x: (x**2).sum())(np.array([1.0, 3.0]))
        (array(10.), array([2., 6.]))

    Source: JAX and HIPS autograd.
    """
    derivative = _derivative("value_and_grad", f, argnums, _one_number, holomorphic)

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        value, aux, gradient = derivative(args, kwargs, has_aux)
        return ((value, aux) if has_aux else value), gradient

    return _named("value_and_grad", f, value_and_gradient)


def elementwise_grad(
    f: Function,
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Function:
    """Return the function that computes f'(x) at every element of x, for an elementwise `f`.

    It is the gradient of the sum of the results, ∂(Σ f)/∂x: for an `f` whose result i depends on
    element i only, or on row i only, that is each result's own derivative. For another `f` it is
    the sum of each column of the Jacobian.

    Arguments, results and errors are those of `grad`, but `f` may return an array of any shape.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.elementwise_grad(np.sqrt)(np.array([1.0, 4.0]))
        array([0.5 , 0.25])

    Source: HIPS autograd.
    """
    return _gradient("elementwise_grad", f, argnums, has_aux, holomorphic, _one_array)


def _gradient(
    name: str,
    f: Function,
    argnums: Any,
    has_aux: bool,
    holomorphic: bool,
    checked: Callable[[Call, bool], Any] | None = None,
) -> Function:
    derivative = _derivative(name, f, argnums, checked or _one_number, holomorphic)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        _, aux, found = derivative(args, kwargs, has_aux)
        return (found, aux) if has_aux else found

    return _named(name, f, gradient)


def _derivative(
    name: str,
    f: Function,
    argnums: Any,
    checked: Callable[[Call, bool], Any],
    holomorphic: bool,
) -> Callable[[Sequence[Any], dict[str, Any], bool], tuple[Any, Any, Any]]:
    """Return the function that computes (value, aux, gradient of the sum of the value)."""
    places = argument_places(name, f, argnums)

    def derivative(
        args: Sequence[Any], kwargs: dict[str, Any], has_aux: bool
    ) -> tuple[Any, Any, Any]:
        call = Call(name, f, args, kwargs, places, has_aux=has_aux)
        out = checked(call, holomorphic)
        found = call.pull([Tensor(np.ones_like(out._data))], create=call.outer, retain=False)
        extra = nested.leaves(call.aux)
        value, *rest = call.given_back([out, *found, *extra], recording=call.recording)
        gradient = call.structured(rest[: len(found)])
        aux = nested.rebuilt(call.aux, rest[len(found) :])
        return value, aux, _picked(argnums, gradient)

    return derivative


def _one_number(call: Call, holomorphic: bool) -> Any:
    """Return the only output of a function that must return one number."""
    out = _one_array(call, holomorphic)
    if out._data.size != 1:
        raise ShapeError(
            f"{call.name}: the function returned shape {out.shape}, expected one number; reduce it "
            f"(for instance .sum()), or use elementwise_grad for an elementwise function, jacobian "
            f"for all derivatives, vjp for one combination of them"
        )
    return out


def _one_array(call: Call, holomorphic: bool) -> Any:
    """Return the only output of a function, if its sum has a gradient."""
    out = call.outputs[0] if len(call.outputs) == 1 else None
    if out is None or nested.children(call.value) is not None:
        raise ArgumentError(
            f"{call.name}: the function returned {type(call.value).__name__}, expected a Tensor; "
            f"with has_aux=True it may return (value, aux), and vjp and jacobian take several "
            f"results"
        )
    _complex_as_announced(call, [out], holomorphic)
    if out.dtype.kind not in {"f", "c"}:
        raise DtypeError(
            f"{call.name}: the function returned {out.dtype}, and whole numbers have no "
            f"derivative; a loss is made of floating numbers (no argmax, comparison or count)"
        )
    if is_complex(out) and not holomorphic:
        raise DtypeError(
            f"{call.name}: the function returned complex numbers, and a gradient needs a real "
            f"result; take .real, .imag or abs(), or pass holomorphic=True if it is a holomorphic "
            f"function of complex arguments"
        )
    return out


def _complex_as_announced(call: Call, outputs: Sequence[Any], holomorphic: bool) -> None:
    if holomorphic and not all(map(is_complex, (*outputs, *call.targets))):
        raise DtypeError(
            f"{call.name}: holomorphic=True needs complex arguments and a complex result; convert "
            f"with .astype(complex), or leave the option out"
        )


def _picked(argnums: Any, several: tuple[Any, ...]) -> Any:
    """Return what belongs to `argnums`: one thing for an int, a tuple for several."""
    return several if isinstance(argnums, tuple | list) else several[0]


def _named(name: str, f: Function, function: Function) -> Function:
    """Give a function that a transform returns a name and a docstring that say what it is."""
    inner = getattr(f, "__name__", type(f).__name__)
    function.__name__ = function.__qualname__ = f"{name}({inner})"
    function.__doc__ = f"Compute {name} of {inner}; takes its arguments."
    return function


# ---- products with the Jacobian --------------------------------------------------------------


def vjp(f: Function, *args: Any, has_aux: bool = False, **kwargs: Any) -> tuple[Any, ...]:
    """Return ``(f(*args), pull)``, where ``pull(u)`` is the vector-Jacobian product uᵀJ.

    `f` runs once; `pull` walks back through what it recorded, as often as it is called.

    Args:
        f: returns a Tensor, or nested containers of Tensors.
        *args: what is differentiated, all of it; `functools.partial` or a lambda binds the rest.
        has_aux: `f` returns ``(value, aux)``, and only `value` is differentiated.
        **kwargs: passed to `f` as they are.

    Returns:
        ``(value, pull)``, or with `has_aux` ``(value, pull, aux)``. `pull` takes one upstream
        gradient per result, in the nesting and the shapes of the value, and returns a tuple with
        one gradient per argument, in its nesting: arrays or Tensors as with `grad`.

    Raises:
        DtypeError: an argument holds no floating or complex number; by `pull`: a complex upstream
            gradient for a real result.
        ArgumentError: `f` returned something that is no number; by `pull`: another nesting.
        ShapeError: by `pull`: an upstream gradient of another shape.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> value, pull = tc.vjp(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        >>> value, pull(np.array([1.0, 10.0]))
        (array([3., 8.]), (array([ 3., 40.]), array([ 1., 20.])))

    Source: JAX.
    """
    argument_places("vjp", f, 0)
    call = Call("vjp", f, args, kwargs, range(len(args)), has_aux=has_aux)
    value, aux = _value_and_aux(call, call.recording)

    def pull(upstream_gradient: Any) -> tuple[Any, ...]:
        given = upstream(_shaped(call), upstream_gradient, "vjp: upstream gradient")
        return call.structured(_pulled_back(call, given))

    return (value, pull, aux) if has_aux else (value, pull)


def _value_and_aux(call: Call, recording: bool) -> tuple[Any, Any]:
    """Return the value of a call and the rest as what was given."""
    extra = nested.leaves(call.aux)
    results = call.given_back([*call.outputs, *extra], recording=recording)
    count = len(call.outputs)
    return nested.rebuilt(call.value, results[:count]), nested.rebuilt(call.aux, results[count:])


def _shaped(call: Call) -> Any:
    """Return the value of a call with every leaf as a Tensor."""
    return nested.rebuilt(call.value, call.outputs)


def _needs(weights: Sequence[Any]) -> bool:
    return any(w is not None and w._needs for w in weights)


def _pulled_back(call: Call, weights: Sequence[Any]) -> list[Any]:
    """Return one gradient per target, recorded if the weights or the value are."""
    recording = SCOPE.get().recording
    create = recording and (call.outer or _needs(weights))
    found = call.pull(weights, create=create, retain=True)
    return call.given_back(found, recording=recording)


def jvp(
    f: Function,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    has_aux: bool = False,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Return ``(f(*primals), Jv)``: the value, and its derivative in the direction `tangents`.

    Without rules for the forward mode, by two walks back: the product g(u) = uᵀJ is linear in the
    upstream gradient u, so its own vector-Jacobian product with v is Jv, at whatever u. For complex
    numbers, where vᵀg pairs as Re Σ v g, this is the change of f along v, for any f. The cost is
    that of a few gradients, whatever the number of inputs and results.

    Args:
        f: returns a Tensor, or nested containers of Tensors.
        primals: the arguments of `f`, a tuple or a list; all are differentiated.
        tangents: one direction per argument, in the nesting and the shapes of `primals`, None
            where a leaf has no derivative.
        has_aux: `f` returns ``(value, aux)``, and only `value` is differentiated.
        **kwargs: passed to `f` as they are.

    Returns:
        ``(value, tangent)`` in the nesting of what `f` returns, or with `has_aux`
        ``(value, tangent, aux)``; arrays or Tensors as with `grad`. Both can be differentiated
        again, with respect to primals and tangents.

    Raises:
        ArgumentError: `primals` is no tuple or list, or `tangents` is nested otherwise.
        ShapeError: a tangent has another shape than its primal.
        DtypeError: a tangent is complex and its primal real, or nothing has a derivative.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.jvp(lambda x: x**2, (np.array([1.0, 3.0]),), (np.array([1.0, 0.5]),))
        (array([1., 9.]), array([2., 3.]))

    Source: J. Townsend, "A new trick for calculating Jacobian vector products", 2017; JAX's
    arguments.
    """
    argument_places("jvp", f, 0)
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise ArgumentError(
                f"jvp: {name} is {type(given).__name__}, expected a tuple with one entry per "
                f"argument; write jvp(f, (x,), (v,))"
            )
    call = Call("jvp", f, primals, kwargs, range(len(primals)), has_aux=has_aux)
    directions = [w for w in upstream(call.given, tangents, "jvp: tangents") if w is not None]
    value, aux = _value_and_aux(call, call.recording)
    found = _pushed(call, directions)
    tangent = nested.rebuilt(call.value, found)
    return (value, tangent, aux) if has_aux else (value, tangent)


def _pushed(call: Call, directions: Sequence[Any]) -> list[Any]:
    """Return the derivative of every output along the directions, None for one without."""
    with enable_grad():
        # Any upstream gradient would do; with ones, no rule multiplies infinity by zero.
        dummies = [
            entered(np.ones_like(out._data), recording=False) if differentiable(out) else None
            for out in call.outputs
        ]
        pulled = call.pull(dummies, create=True, retain=True)
    pairs = [(g, v) for g, v in zip(pulled, directions, strict=True) if g._needs]
    create = call.recording and (call.outer or _needs(directions))
    asked = [twin(u) for u in dummies if u is not None]
    found = iter(
        gradients_of(
            [g for g, _ in pairs],
            asked,
            [v if create else v._data for _, v in pairs],
            create_graph=create,
            retain_graph=create,
        )
    )
    results: list[Any] = []
    for dummy in dummies:
        g = None if dummy is None else next(found)
        if dummy is not None and g is None:
            g = np.zeros_like(dummy._data)
        results.append(g if g is None or isinstance(g, Value) else Tensor(g))
    return call.given_back(results, recording=call.recording)


# ---- whole matrices of derivatives -----------------------------------------------------------


def jacobian(
    f: Function,
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Function:
    """Return the function that computes all derivatives of all results: J[i, j] = ∂fᵢ/∂xⱼ.

    `f` runs once, and one walk back per element of the result gives a row of J.

    Args:
        f: returns a Tensor of any shape, or nested containers of them.
        argnums: which positional argument to differentiate, or several.
        has_aux: `f` returns ``(value, aux)``, and only `value` is differentiated.
        holomorphic: `f` is a complex function of complex arguments with complex derivatives.

    Returns:
        A function that returns an array of shape ``f(x).shape + x.shape``. For nested results and
        arguments it is the nesting of the result, and in it at every leaf that of the argument;
        for several `argnums` a tuple; with `has_aux` ``(jacobian, aux)``. Arrays or Tensors as
        with `grad`. A real result has rows ∂/∂x - i ∂/∂y at complex arguments, as in `grad`; a
        complex result of real arguments has the complex derivative, at two walks per element.

    Raises:
        DtypeError: a complex result of complex arguments without `holomorphic`, or an argument
            that holds no floating or complex number.
        ArgumentError: as with `grad`.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.jacobian(lambda x: tc.array([x[0] * x[1], x[0] ** 2]))(np.array([3.0, 5.0]))
        array([[5., 3.],
               [6., 0.]])

    Source: JAX's ``jacrev``, HIPS autograd's ``jacobian``.
    """
    return _jacobian("jacobian", f, argnums, has_aux, holomorphic)


def hessian(
    f: Function,
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Function:
    """Return the function that computes the second derivatives H[i, j] = ∂²f/∂xᵢ∂xⱼ.

    It is the Jacobian of the gradient: one gradient, and one walk back through it per element of
    x. Where only products with H are needed, `hvp` costs a few gradients in all.

    Args:
        f: returns one real number.
        argnums: which positional argument to differentiate, or several.
        has_aux: `f` returns ``(value, aux)``, and only `value` is differentiated.
        holomorphic: as in `grad`. Without it complex arguments are refused: a real function of
            complex numbers has no complex matrix of second derivatives; use `hvp`.

    Returns:
        A function that returns an array of shape ``x.shape + x.shape``; for nested arguments their
        nesting twice, for several `argnums` a tuple of tuples; with `has_aux` ``(hessian, aux)``.

    Raises:
        ShapeError, DtypeError, ArgumentError: as with `grad`.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
        array([[10.,  6.],
               [ 6.,  0.]])

    Source: JAX, HIPS autograd.
    """
    gradient = _gradient("hessian", f, argnums, has_aux, holomorphic)
    return _named("hessian", f, _jacobian("hessian", gradient, argnums, has_aux, holomorphic))


def hvp(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the function that computes the product of the Hessian with a vector, without H.

    Hv is the derivative of ⟨∇f, v⟩: one recorded gradient and one walk back through it, about the
    cost of three gradients, whatever the size of x. For complex x it is the derivative of the
    gradient in the direction v.

    The vector comes last: ``hvp(f)(x, v)``, and ``hvp(f, 1)(a, x, v)`` for an `f` of two
    arguments, as in HIPS autograd. For one argument that is what SciPy calls:
    ``minimize(f, x0, method="Newton-CG", jac=grad(f), hessp=hvp(f))``.

    Args:
        f: returns one real number.
        argnums: which positional argument to differentiate, or several; then the vector is a tuple.

    Returns:
        A function of the arguments of `f`, and after them the vector, in the nesting and the
        shapes of the gradient. It returns the product in the same nesting, arrays or Tensors as
        with `grad`.

    Raises:
        ArgumentError: the vector is missing or nested otherwise.
        ShapeError: the vector has another shape than the gradient.
        DtypeError: as with `grad`, or the vector is complex and the argument real.

    Example:
        >>> import numpy as np
        >>> import tinygrad_course as tc
        >>> tc.hvp(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]), np.array([1.0, 2.0]))
        array([22.,  6.])

    Source: B. Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
    """
    gradient = _gradient("hvp", f, argnums, False, False)
    places = argument_places("hvp", f, argnums)

    def product(*args: Any, **kwargs: Any) -> Any:
        *arguments, vector = args or (None,)
        if len(arguments) <= max(places):
            raise ArgumentError(
                f"hvp: got {len(args)} arguments; expected those of the function, and the vector "
                f"after them: hvp(f)(x, v)"
            )
        call = Call("hvp", gradient, arguments, kwargs, places)
        given = upstream(_shaped(call), vector, "hvp: vector")
        return _picked(argnums, call.structured(_pulled_back(call, given)))

    return _named("hvp", f, product)


def _jacobian(name: str, f: Function, argnums: Any, has_aux: bool, holomorphic: bool) -> Function:
    places = argument_places(name, f, argnums)

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        call = Call(name, f, args, kwargs, places, has_aux=has_aux)
        _complex_as_announced(call, [out for out in call.outputs if out is not None], holomorphic)
        blocks = [_block(call, k, holomorphic) for k in range(len(call.outputs))]
        found = [part for block in blocks if block is not None for part in block]
        extra = nested.leaves(call.aux)
        results = call.given_back([*found, *extra], recording=call.recording)
        rest = iter(results)
        tree = [
            None
            if block is None
            else _picked(argnums, call.structured([next(rest) for _ in block]))
            for block in blocks
        ]
        whole = nested.rebuilt(call.value, tree)
        return (whole, nested.rebuilt(call.aux, list(rest))) if has_aux else whole

    return _named(name, f, jacobian_of)


def _block(call: Call, index: int, holomorphic: bool) -> list[Any] | None:
    """Return the Jacobian of one output with respect to every target, None if it has none."""
    out = call.outputs[index]
    if out is None or not differentiable(out):
        return None
    twice = is_complex(out) and not holomorphic
    if twice and any(map(is_complex, call.targets)):
        raise DtypeError(
            f"{call.name}: a complex result of complex arguments has one matrix of derivatives "
            f"only if the function is holomorphic; pass holomorphic=True if it is, or take .real "
            f"and .imag of the result"
        )
    rows = [_row(call, index, element, twice) for element in range(out._data.size)]
    return [
        functions.reshape(functions.stack([row[k] for row in rows]), out.shape + t.shape)
        if rows
        else Tensor(np.zeros(out.shape + t.shape, t.dtype))
        for k, t in enumerate(call.targets)
    ]


def _row(call: Call, index: int, element: int, twice: bool) -> list[Any]:
    """Return the gradients of one element of an output."""

    def pulled(weight: complex) -> list[Any]:
        out = call.outputs[index]
        start = np.zeros(out.shape, out.dtype)
        start.flat[element] = weight
        starts = [Tensor(start) if k == index else None for k in range(len(call.outputs))]
        return call.pull(starts, create=call.outer, retain=True)

    if not twice:
        return pulled(1.0)
    # A walk back to real arguments gives Re(weight · derivative).
    return [a + 1j * b for a, b in zip(pulled(1.0), pulled(-1j), strict=True)]


__all__ = [
    "elementwise_grad",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "value_and_grad",
    "vjp",
]
