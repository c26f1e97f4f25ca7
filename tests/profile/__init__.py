"""The DPoP Symmetric Profile 1.0 as a whole: its vectors and its documents."""
