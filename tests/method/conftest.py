"""Makes the planted methods of this folder importable by name, as a plugin's implementation is."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
