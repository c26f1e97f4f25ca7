"""Adapters for frameworks, each named like the module of Authlib that it extends."""
