"""Networks as plain data, and the weights that ship."""
