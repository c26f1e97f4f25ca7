"""Run as modules by the Python that has the independent packages."""
