"""Selection rules, statistics and tables: pure functions of the records, torch-free."""
