"""A multi-center, multi-sequence abdomen from tissue parameters and signal equations; needs no download, no patient."""

from dgsweep.data.phantom.write import PhantomSpec, make_case, write_phantom

__all__ = ["PhantomSpec", "make_case", "write_phantom"]
