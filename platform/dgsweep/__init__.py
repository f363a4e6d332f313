"""dgsweep: which domain-generalization method survives a shift of sequence, center or scanner."""

__version__ = "0.1.0"
