"""The ledger (files, the truth) and MLflow (a view that can be rebuilt from it)."""
