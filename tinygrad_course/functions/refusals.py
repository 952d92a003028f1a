"""NumPy functions that Tensors refuse, each with what to do instead."""

from __future__ import annotations

IN_GENERAL = (
    "write it in supported functions (docs/functions.md lists them), register it as a primitive, "
    "or use .numpy() if no derivative is wanted"
)

_DATES = "Tensors hold numbers, not dates"
_COUNTS = "counts have no derivative: call it on .numpy()"
_BITS = "bits have no derivative: call it on .numpy()"

REFUSALS: dict[str, str] = {
    "np.busday_count": _DATES,
    "np.busday_offset": _DATES,
    "np.datetime_as_string": _DATES,
    "np.is_busday": _DATES,
    "np.isnat": _DATES,
    "np.histogram2d": _COUNTS,
    "np.histogramdd": _COUNTS,
    "np.packbits": _BITS,
    "np.unpackbits": _BITS,
    "np.einsum_path": "it plans a computation: call it on .numpy()",
    "np.savez": "save .numpy(), or a module's state_dict",
    "np.savez_compressed": "save .numpy(), or a module's state_dict",
    "np.poly": "expand the product of (x - root) with np.convolve",
    "np.polydiv": "a quotient of polynomials: divide np.polyval of both, or use .numpy()",
    "np.polyfit": "write np.linalg.lstsq(np.vander(x, degree + 1), y)[0]",
}
"""From what people write to the cure."""
