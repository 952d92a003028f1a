"""Module: anything that holds parameters and computes.

Parameters, buffers and submodules are found by walking a module's attributes, lists, tuples and
dicts in the order they were set; nothing is registered, and there is no ``super().__init__()`` to
forget.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from tinygrad_course.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_course.graph import SCOPE, Scope, describe
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
    _hooks: _Hooks | None = None

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the module's output; every module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward` with this module noted as the place where operations are recorded."""
        outer = SCOPE.get()
        token = SCOPE.set(Scope(outer.recording, self, outer, outer.observer))
        try:
            if self._hooks is None:
                return self.forward(*inputs, **options)
            return self._hooks.run(self, inputs, options)
        except ShapeError as error:
            _name_layer(error, self)
            raise
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

    def children(self) -> Iterator[Module]:
        """Yield the modules held directly."""
        return (module for _, module in self.named_children())

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

    def buffers(self) -> Iterator[Buffer]:
        """Yield the buffers of this module and all below it, each once."""
        return (buffer for _, buffer in self.named_buffers())

    def _find(self, target: str, kind: type, word: str) -> Any:
        """Return what stands at a dotted path, under any of its names."""
        for name, value in self._members():
            if name == target and isinstance(value, kind):
                return value
            if isinstance(value, Module) and target.startswith(f"{name}."):
                return value._find(target.removeprefix(f"{name}."), kind, word)
        known = [name for name, value in self._members() if isinstance(value, kind | Module)]
        raise ArgumentError(
            f"{type(self).__name__}: there is no {word} {target!r}; it holds "
            f"{', '.join(known) or 'nothing'}"
        )

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path; the empty path is the module itself.

        Raises:
            ArgumentError: there is none; the message lists the names there are.

        Example:
            >>> from tinygrad_course import nn
            >>> model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU()))
            >>> model.get_submodule("1.0")
            ReLU()
        """
        return self._find(target, Module, "module") if target else self

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path.

        Raises:
            ArgumentError: there is none; the message lists the names there are.
        """
        return self._find(target, Parameter, "parameter")  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Buffer:
        """Return the buffer at a dotted path.

        Raises:
            ArgumentError: there is none; the message lists the names there are.
        """
        return self._find(target, Buffer, "buffer")  # type: ignore[no-any-return]

    def add_module(self, name: str, module: Module | None) -> None:
        """Hold a module under a name, as ``self.name = module`` does."""
        setattr(self, name, module)

    register_module = add_module

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Hold a parameter under a name, as ``self.name = param`` does."""
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Hold a Tensor that is not trained; if it is `persistent`, it belongs to the state."""
        if tensor is not None:
            tensor = Buffer(tensor) if persistent else Tensor(tensor)
        setattr(self, name, tensor)

    # ---- hooks ---------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, inputs)`` before every `forward`.

        What it returns, if not None, takes the place of the inputs; a single value counts as one
        input. With `with_kwargs` it is called as ``hook(module, inputs, options)`` and returns None
        or both.

        Args:
            hook: the function.
            prepend: whether to call it before the hooks that are there.
            with_kwargs: whether it also takes the keyword arguments.

        Example:
            >>> import numpy as np
            >>> from tinygrad_course import nn
            >>> layer = nn.ReLU()
            >>> with layer.register_forward_pre_hook(lambda module, inputs: -inputs[0]):
            ...     layer(np.array([-1.0, 2.0]))
            array([1., 0.])
        """
        return self._add_hook("before", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, inputs, output)`` after every `forward`.

        What it returns, if not None, takes the place of the output. With `with_kwargs` it is called
        as ``hook(module, inputs, options, output)``.

        Args:
            hook: the function.
            prepend: whether to call it before the hooks that are there.
            with_kwargs: whether it also takes the keyword arguments.

        Returns:
            A handle: its ``remove()`` takes the hook away, and so does the end of a with block.

        Example:
            >>> import numpy as np
            >>> from tinygrad_course import nn
            >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
            >>> seen = []
            >>> handle = model[0].register_forward_hook(lambda m, xs, y: seen.append(y.shape))
            >>> _ = model(np.zeros((5, 4)))
            >>> handle.remove()
            >>> seen
            [(5, 3)]
        """
        return self._add_hook("after", hook, prepend, with_kwargs)

    def _add_hook(
        self, when: str, hook: Callable[..., Any], prepend: bool, with_kwargs: bool
    ) -> RemovableHandle:
        if not callable(hook):
            raise ArgumentError(f"{type(self).__name__}: a hook must be a function, got {hook!r}")
        if self._hooks is None:
            self._hooks = _Hooks()
        entry = (hook, with_kwargs)
        entries = getattr(self._hooks, when)
        entries.insert(0 if prepend else len(entries), entry)
        return RemovableHandle(self, when, entry)

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


class _Hooks:
    """The hooks of one module. It is no list and no dict: nothing in it counts as a parameter."""

    def __init__(self) -> None:
        self.before: list[tuple[Callable[..., Any], bool]] = []
        self.after: list[tuple[Callable[..., Any], bool]] = []

    def run(self, module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call `forward` between the hooks."""
        for hook, with_kwargs in list(self.before):
            if with_kwargs:
                changed = hook(module, inputs, options)
                inputs, options = (inputs, options) if changed is None else changed
            else:
                changed = hook(module, inputs)
                if changed is not None:
                    inputs = changed if isinstance(changed, tuple) else (changed,)
        output = module.forward(*inputs, **options)
        for hook, with_kwargs in list(self.after):
            given = (inputs, options, output) if with_kwargs else (inputs, output)
            changed = hook(module, *given)
            output = output if changed is None else changed
        return output


class RemovableHandle:
    """What registering a hook returns: `remove` takes the hook away, once."""

    def __init__(self, module: Module, when: str, entry: tuple[Callable[..., Any], bool]) -> None:
        self._module, self._when, self._entry = weakref.ref(module), when, entry

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        module = self._module()
        if module is None or module._hooks is None:
            return
        entries = getattr(module._hooks, self._when)
        # By identity: the same function may have been registered twice.
        entries[:] = [entry for entry in entries if entry is not self._entry]
        if not (module._hooks.before or module._hooks.after):
            del module._hooks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.remove()


def _name_layer(error: ShapeError, module: Module) -> None:
    """Complete the message of an error by where in the model it arose: the classes and the name."""
    if getattr(error, "placed", False):
        return  # by a module further inside
    error.placed = True  # type: ignore[attr-defined]
    where, text = describe(SCOPE.get()), str(error)
    if where not in text:
        head = re.match(r"[\w.]+(?=:)", text)
        text = f"{head[0]}{where}{text[head.end() :]}" if head else f"{text} ({where.strip()})"
    outermost = SCOPE.get().modules()[0]
    name = next((n for n, m in outermost.named_modules() if m is module), "")
    if name:
        text += f" [layer {name}: {type(module).__name__}({module.extra_repr()})]"
    error.args = (text,)


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
