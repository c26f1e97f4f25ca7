"""The state of the package: what has been used before, and the current secrets."""
