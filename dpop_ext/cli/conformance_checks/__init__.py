"""What ``dpop-ext conformance`` tries, each part in a module of its own.

DPoP Symmetric Profile 1.0, and :rfc:`9449` as far as it builds on it.
"""
