"""The built-in methods of dgsweep, one folder each; they come through the same entry points as a stranger's package."""
