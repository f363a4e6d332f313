"""Backbones behind one builder; each publishes its tap names. Declarations are torch-free."""
