"""Module: anything that holds parameters and computes.

Parameters, buffers and submodules are found by walking a module's attributes, lists, tuples and
dicts in the order they were set; nothing is registered, and there is no ``super().__init__()`` to
forget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_course.graph import SCOPE, Scope
from tinygrad_course.nn.parameter import Buffer, Parameter, default_dtype
from tinygrad_course.tensor import Tensor


class Module:
    """Base of layers and models: assign layers and parameters as attributes, define `forward`.

    Example:
        >>> import numpy as np
        >>> from tinygrad_course import nn
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         self.hidden = nn.Linear(4, 3)
        ...         self.out = nn.Linear(3, 2)
        ...     def forward(self, x):
        ...         return self.out(nn.functional.relu(self.hidden(x)))
        >>> [name for name, _ in Net().named_parameters()]
        ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']
        >>> Net()(np.zeros((5, 4))).shape
        (5, 2)
    """

    training: bool = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the module's output; every module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward` with this module noted as the place where operations are recorded."""
        outer = SCOPE.get()
        token = SCOPE.set(Scope(outer.recording, self, outer, outer.observer))
        try:
            return self.forward(*inputs, **options)
        finally:
            SCOPE.reset(token)

    # ---- what it holds -------------------------------------------------------------------

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Yield every Tensor and Module held directly, with its name below this module."""
        for name, value in vars(self).items():
            yield from _flatten(name, value)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules held directly, with their names."""
        return ((name, m) for name, m in self._members() if isinstance(m, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it, each once, with their dotted paths."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            below = [(f"{path}.{n}" if path else n, m) for n, m in module.named_children()]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, kind: type, prefix: str) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        names: set[str] = set()
        for path, module in self.named_modules(prefix):
            for name, value in module._members():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    full = f"{path}.{name}" if path else name
                    if full in names:
                        raise ArgumentError(
                            f"{type(self).__name__}: two {kind.__name__.lower()}s have the name "
                            f"{full!r}; rename an attribute or a dict key"
                        )
                    names.add(full)
                    yield full, value

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters of this module and all below it, each once, with dotted names."""
        return self._named(Parameter, prefix)

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters of this module and all below it, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        """Yield the buffers of this module and all below it, each once, with dotted names."""
        return self._named(Buffer, prefix)

    # ---- modes ---------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training mode, or out of it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation: dropout passes everything, batch norm uses running statistics."""
        return self.train(mode=False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze or unfreeze all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, dtype: Any) -> Self:
        """Convert all parameters and floating buffers to a dtype, in place.

        Raises:
            DtypeError: the dtype is not a floating one.
        """
        wanted = np.dtype(dtype)
        if wanted.kind not in "fc":
            raise DtypeError(f"{type(self).__name__}.to: needs a floating dtype, got {wanted}")
        for _, tensor in (*self.named_parameters(), *self.named_buffers()):
            if tensor.dtype.kind in "fc":
                tensor._data = tensor.data.astype(wanted)
                tensor._grad = None
        return self

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call a function on this module and all below it."""
        for module in self.modules():
            function(module)
        return self

    # ---- state ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the arrays of all parameters and buffers by dotted name; they are not copied."""
        found = (*self.named_parameters(), *self.named_buffers())
        return {name: tensor.data for name, tensor in found}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into the parameters and buffers of the same names.

        Nothing is changed unless everything fits.

        Raises:
            ShapeError: an array has another shape than its parameter.
            ArgumentError: with `strict`, names are missing or unknown.
        """
        mine: dict[str, Tensor] = dict((*self.named_parameters(), *self.named_buffers()))
        missing = [name for name in mine if name not in state]
        unknown = [name for name in state if name not in mine]
        misshapen = [
            f"{name}: file {np.shape(state[name])}, model {tensor.shape}"
            for name, tensor in mine.items()
            if name in state and np.shape(state[name]) != tensor.shape
        ]
        lines = [f"  other shape  {line}" for line in misshapen]
        if strict:
            lines += [f"  missing      {name} {mine[name].shape}" for name in missing]
            lines += [f"  not in model {name} {np.shape(state[name])}" for name in unknown]
        if lines:
            error = ShapeError if misshapen else ArgumentError
            raise error(
                f"{type(self).__name__}.load_state_dict: the state does not fit the model:\n"
                + "\n".join(lines)
            )
        given = {n: np.asarray(getattr(state[n], "_data", state[n])) for n in mine if n in state}
        wrong = [
            f"{name} has dtype {a.dtype}" for name, a in given.items() if a.dtype.kind not in "biuf"
        ]
        if wrong:
            raise ArgumentError(f"{type(self).__name__}.load_state_dict: {', '.join(wrong)}")
        # All are converted before the first is written.
        new = {name: array.astype(mine[name].dtype) for name, array in given.items()}
        for name, array in new.items():
            mine[name].data = array

    # ---- text ----------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return the options that ``repr`` shows in the parentheses."""
        return ""

    def __repr__(self) -> str:
        below = [
            f"  ({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self.named_children()
        ]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ")" if not below else head + "\n" + "\n".join(below) + "\n)"


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor | Module):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _flatten(f"{name}.{i}" if name else str(i), part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _flatten(f"{name}.{key}" if name else str(key), part)


def cast_input(x: Any, dtype: np.dtype[Any] | None) -> Any:
    """Return a layer's input in the dtype of its parameters, if any; Tensors stay recorded."""
    if not hasattr(x, "__array_function__"):
        x = np.asarray(x)
    if dtype is None:
        return x if x.dtype.kind in "fc" else x.astype(default_dtype())
    return x if x.dtype == dtype or x.dtype.kind == "c" else x.astype(dtype)
