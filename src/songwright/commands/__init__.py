"""One module a command. Each has `add_arguments(parser)` and `run(arguments)`; heavy imports sit inside `run`."""
