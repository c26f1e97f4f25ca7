"""A client that shows DPoP at work against the demo servers, and attacks them."""
