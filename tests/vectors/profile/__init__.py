"""Vectors of the DPoP Symmetric Profile 1.0 with a verdict, good and bad."""
