"""The tasks: what a model can do with images, a package for each."""
