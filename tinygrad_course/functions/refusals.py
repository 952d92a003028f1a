"""NumPy functions that Tensors refuse, each with what to do instead."""

from __future__ import annotations

IN_GENERAL = (
    "write it in supported functions (docs/functions.md lists them), register it as a primitive, "
    "or use .numpy() if no derivative is wanted"
)

_SETS = "sets have no derivative: call it on .numpy(), and index the Tensor with what it finds"
_DATES = "Tensors hold numbers, not dates"
_COUNTS = "counts have no derivative: call it on .numpy()"
_BITS = "bits have no derivative: call it on .numpy()"
_PLACES = "it computes indices: call it on .numpy() or on the shape"

REFUSALS: dict[str, str] = {
    "np.busday_count": _DATES,
    "np.busday_offset": _DATES,
    "np.datetime_as_string": _DATES,
    "np.is_busday": _DATES,
    "np.isnat": _DATES,
    "np.intersect1d": _SETS,
    "np.isin": _SETS,
    "np.setdiff1d": _SETS,
    "np.setxor1d": _SETS,
    "np.union1d": _SETS,
    "np.unique_all": _SETS,
    "np.unique_counts": _SETS,
    "np.unique_inverse": _SETS,
    "np.histogram2d": _COUNTS,
    "np.histogramdd": _COUNTS,
    "np.histogram_bin_edges": _COUNTS,
    "np.packbits": _BITS,
    "np.unpackbits": _BITS,
    "np.bitwise_count": _BITS,
    "np.diag_indices_from": _PLACES,
    "np.tril_indices_from": _PLACES,
    "np.triu_indices_from": _PLACES,
    "np.unravel_index": _PLACES,
    "np.ravel_multi_index": _PLACES,
    "np.einsum_path": "it plans a computation: call it on .numpy()",
    "np.savez": "save .numpy(), or a module's state_dict",
    "np.savez_compressed": "save .numpy(), or a module's state_dict",
    "np.poly": "expand the product of (x - root) with np.convolve",
    "np.polydiv": "a quotient of polynomials: divide np.polyval of both, or use .numpy()",
    "np.polyfit": "write np.linalg.lstsq(np.vander(x, degree + 1), y)[0]",
    "np.roots": "write np.linalg.eigvals of the companion matrix",
    "np.place": "write t[mask] = values, or np.where",
    "np.piecewise": "write np.select with the conditions and the computed pieces",
    "np.sort_complex": "order by np.argsort(t.real) and index with that",
}
"""From what people write to the cure."""
