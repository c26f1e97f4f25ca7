"""DPoP proofs, :rfc:`9449`, as pure functions: no I/O, no clock, no web framework."""
