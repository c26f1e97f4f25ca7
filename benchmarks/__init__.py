"""What sender-constrained tokens cost, as ratios to the primitives underneath."""
