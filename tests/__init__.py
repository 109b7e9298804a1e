"""The tests. What several of them share lies here; fixtures are in the conftest files."""
