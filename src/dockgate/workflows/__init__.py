"""The durable execution of use cases. The only package, with `bootstrap`, that imports dbos."""
