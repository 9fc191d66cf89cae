"""How the networks of the recipes are trained."""
