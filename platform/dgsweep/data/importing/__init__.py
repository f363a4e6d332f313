"""Importers: from the layouts that data sets are published in to a manifest. Voxels are copied only when asked for."""

from dgsweep.data.importing.found import Found, FoundCase, ImportOptions
from dgsweep.data.importing.kinds import KINDS, Kind, find_cases
from dgsweep.data.importing.write import Written, write_import

__all__ = ["KINDS", "Found", "FoundCase", "ImportOptions", "Kind", "Written", "find_cases", "write_import"]
