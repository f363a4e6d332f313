"""YAML to validated, frozen objects; every problem is reported at once, with its field path."""
