"""Manifest, quality checks, geometry, preprocess cache and patch sampling."""
