"""Modules that hold modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from tinygrad_course.errors import ArgumentError
from tinygrad_course.nn.module import Module


def _checked(container: str, place: Any, module: Any) -> Module:
    """Return a module, or refuse what is none."""
    if isinstance(module, Module):
        return module
    what = module.__name__ if isinstance(module, type) else type(module).__name__
    made = ", a class: write it with parentheses" if isinstance(module, type) else ""
    raise ArgumentError(
        f"{container}: {place} is {what}{made}, not a Module; pass layers such as nn.ReLU() "
        f"rather than functions"
    )


class _ListOfModules(Module):
    """What `Sequential` and `ModuleList` share: a list of modules, named by their numbers."""

    layers: list[Module]

    def _take(self, modules: Iterable[Module]) -> None:
        name = type(self).__name__
        self.layers = [_checked(name, f"argument {i}", m) for i, m in enumerate(modules)]

    def _name(self, index: int) -> str:
        return str(index)

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Yield the modules by name, then what a subclass holds besides."""
        yield from ((self._name(i), layer) for i, layer in enumerate(self.layers))
        yield from ((n, m) for n, m in super()._members() if n.partition(".")[0] != "layers")

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __contains__(self, module: Any) -> bool:
        return any(module is layer for layer in self.layers)

    def __setitem__(self, index: int, module: Module) -> None:
        self.layers[index] = _checked(type(self).__name__, f"module {index}", module)

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the container."""
        self.layers.append(_checked(type(self).__name__, "what is appended", module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns the container."""
        for module in list(modules):
            self.append(module)
        return self


class Sequential(_ListOfModules):
    """Modules applied one after the other, named by number or by the keys of a dict.

    Args:
        *layers: the modules; or one dict (PyTorch asks for an OrderedDict) from name to module.

    Raises:
        ArgumentError: something is not a module.

    Example:
        >>> from tinygrad_course import nn
        >>> nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        Sequential(
          (0): Linear(4, 3)
          (1): ReLU()
        )
        >>> model = nn.Sequential({"hidden": nn.Linear(4, 3), "out": nn.ReLU()})
        >>> model.hidden
        Linear(4, 3)
        >>> [name for name, _ in model.named_parameters()]
        ['hidden.weight', 'hidden.bias']
    """

    def __init__(self, *layers: Any) -> None:
        self._names: list[str] = []
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            self._names = [str(name) for name in layers[0]]
            layers = tuple(layers[0].values())
        self._take(layers)

    def _name(self, index: int) -> str:
        return self._names[index] if index < len(self._names) else str(index)

    def forward(self, x: Any) -> Any:
        """Pass x through all layers."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __getattr__(self, name: str) -> Any:
        """Return a layer by its name."""
        names = self.__dict__.get("_names", ())
        if name in names:
            return self.layers[names.index(name)]
        raise AttributeError(f"{type(self).__name__} has no attribute and no layer {name!r}")

    def __getitem__(self, index: Any) -> Any:
        """Return a layer by number, or for a slice a Sequential of the same layers."""
        if not isinstance(index, slice):
            return self.layers[index]
        part = Sequential(*self.layers[index])
        if self._names:
            part._names = [self._name(i) for i in range(len(self.layers))[index]]
        return part

    def __delitem__(self, index: Any) -> None:
        names = [self._name(i) for i in range(len(self.layers))]
        del self.layers[index]
        if self._names:
            del names[index]
            self._names = names

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self.layers, *other.layers)

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before layer `index`; the numbers behind it move up by one.

        Raises:
            ArgumentError: the layers have names of their own, or there is no such place.
        """
        if self._names:
            raise ArgumentError(
                "Sequential.insert: these layers have names, and the new one would have none; "
                "make a new Sequential of a dict"
            )
        if not -len(self.layers) <= index <= len(self.layers):
            raise ArgumentError(
                f"Sequential.insert: there is no place {index} in {len(self.layers)} layers"
            )
        self.layers.insert(index, _checked(type(self).__name__, "what is inserted", module))
        return self

    def pop(self, index: int = -1) -> Module:
        """Remove a layer and return it."""
        layer = self.layers[index]
        del self[index]
        return layer


class ModuleList(_ListOfModules):
    """A list of modules, named by number. A plain list as an attribute does the same.

    Args:
        modules: the modules.

    Raises:
        ArgumentError: something is not a module.

    Example:
        >>> from tinygrad_course import nn
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        ...     def forward(self, x):
        ...         for layer in self.layers:
        ...             x = layer(x)
        ...         return x
        >>> [name for name, _ in Net().named_children()], len(Net().layers)
        (['layers'], 3)
        >>> next(iter(Net().state_dict()))
        'layers.0.weight'
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._take(() if modules is None else modules)

    def __getitem__(self, index: Any) -> Any:
        """Return a module, or for a slice a ModuleList of the same modules."""
        found = self.layers[index]
        return ModuleList(found) if isinstance(index, slice) else found

    def __delitem__(self, index: Any) -> None:
        del self.layers[index]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self.layers, *other])

    def insert(self, index: int, module: Module) -> None:
        """Put a module before module `index`."""
        self.layers.insert(index, _checked("ModuleList", "what is inserted", module))

    def pop(self, index: int = -1) -> Module:
        """Remove a module and return it."""
        return self.layers.pop(index)


class ModuleDict(Module):
    """A dict of modules, named by key. A plain dict as an attribute does the same.

    Args:
        modules: a dict, or pairs of key and module.

    Raises:
        ArgumentError: something is not a module.

    Example:
        >>> from tinygrad_course import nn
        >>> heads = nn.ModuleDict({"digit": nn.Linear(4, 10), "odd": nn.Linear(4, 2)})
        >>> heads["odd"]
        Linear(4, 2)
        >>> list(heads.state_dict())
        ['digit.weight', 'digit.bias', 'odd.weight', 'odd.bias']
    """

    def __init__(self, modules: Any = None) -> None:
        self._table: dict[str, Module] = {}
        self.update(() if modules is None else modules)

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Yield the modules by key, then what a subclass holds besides."""
        yield from self._table.items()
        yield from ((n, m) for n, m in super()._members() if n.partition(".")[0] != "_table")

    def __getitem__(self, key: str) -> Module:
        """Return the module of a key."""
        return self._table[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self._table[str(key)] = _checked("ModuleDict", f"{key!r}", module)

    def __delitem__(self, key: str) -> None:
        del self._table[key]

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __contains__(self, key: object) -> bool:
        return key in self._table

    def keys(self) -> Iterable[str]:
        """Return the keys."""
        return self._table.keys()

    def values(self) -> Iterable[Module]:
        """Return the modules."""
        return self._table.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Return the pairs of key and module."""
        return self._table.items()

    def update(self, modules: Any) -> None:
        """Take over the modules of a dict, a ModuleDict, or pairs of key and module."""
        pairs = modules.items() if hasattr(modules, "items") else modules
        for key, module in pairs:
            self[key] = module

    def pop(self, key: str) -> Module:
        """Remove a key and return its module."""
        return self._table.pop(key)

    def clear(self) -> None:
        """Remove everything."""
        self._table.clear()


__all__ = [
    "ModuleDict",
    "ModuleList",
    "Sequential",
]
