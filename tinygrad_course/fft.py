"""Fourier's transforms with NumPy's names: ``tc.fft.rfft`` is what ``np.fft.rfft`` calls.

The module is imported when it is first used. Gradients are exact where a transform cuts its input
or fills it with zeros, for every `norm`, and for even and odd lengths. `fftfreq` and `rfftfreq` are
NumPy's own: they take no array.
"""

from numpy.fft import fftfreq, rfftfreq

from tinygrad_course.ops.fourier import (
    fft,
    fft2,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]
