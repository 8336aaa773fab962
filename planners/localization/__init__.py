"""How projections for a locator are planned: which level is found, and in which picture of the volume."""
