"""What ``dpop-ext conformance`` tries, each part in a module of its own."""
