"""A network's shape before there is a network: where it pools, what each kind of network makes of that, what it costs."""
