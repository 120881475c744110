"""The pages of the console, one module a kind of page. Each has a `router`."""
