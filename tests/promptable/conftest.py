"""Makes the small models of this folder importable by name, in their place before the tests of this room."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
