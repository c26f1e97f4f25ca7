"""What ``dpop-ext doctor`` looks at, each part in a module of its own."""
