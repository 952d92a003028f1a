"""Every exception this project raises on purpose, drawn as a tree.

Each also derives from the builtin that a caller would expect, so that ``except ValueError`` keeps
working for people who have never heard of this file::

    TinygradCourseError
    ├── ShapeError(ValueError)            sizes that do not fit together
    ├── DtypeError(TypeError)             a dtype that cannot do what was asked of it
    ├── UnsupportedFunctionError(TypeError)   a function without a rule for Tensors
    ├── ArgumentError(ValueError)         an option or argument that is out of range
    ├── GraphError(RuntimeError)          the recorded graph cannot be used this way
    │   ├── FreedGraphError               a second backward through dropped values
    │   └── ModifiedValueError            a saved value was overwritten before backward
    ├── TraceError(TypeError)             a step that cannot be replayed as straight-line NumPy
    ├── DataError(ValueError)             a file that is missing, truncated or of the wrong kind
    ├── FileError(OSError)                a file or folder that cannot be written
    └── GradientError(AssertionError)     a gradient check that did not pass
"""


class TinygradCourseError(Exception):
    """Base of every exception that this project raises on purpose."""


class ShapeError(TinygradCourseError, ValueError):
    """Sizes that do not fit together."""


class DtypeError(TinygradCourseError, TypeError):
    """A dtype that cannot do what was asked of it."""


class UnsupportedFunctionError(TinygradCourseError, TypeError):
    """A function that has no rule for Tensors."""


class ArgumentError(TinygradCourseError, ValueError):
    """An option or argument whose value makes no sense here."""


class GraphError(TinygradCourseError, RuntimeError):
    """The recorded graph cannot be used this way."""


class FreedGraphError(GraphError):
    """A second backward pass through values that the first one dropped."""


class ModifiedValueError(GraphError):
    """A value that the backward pass needs was overwritten after it was saved."""


class TraceError(TinygradCourseError, TypeError):
    """A step that cannot be replayed as straight-line NumPy."""


class DataError(TinygradCourseError, ValueError):
    """A file that is missing, truncated or of the wrong kind."""


class FileError(TinygradCourseError, OSError):
    """A file or folder that cannot be written."""


class GradientError(TinygradCourseError, AssertionError):
    """A gradient check that did not pass."""
