"""Tasks that models do: one room for each."""
