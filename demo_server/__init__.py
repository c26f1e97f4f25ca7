"""A runnable authorization server and resource server that show the package at work."""
