"""The client's side of DPoP, :rfc:`9449`, without an HTTP library."""
