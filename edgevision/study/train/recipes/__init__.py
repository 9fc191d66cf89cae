"""How the network of each recipe learns: one file a recipe. In: data or generated parts. Out: a network and its card."""
