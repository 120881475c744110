"""Advisory feeds: when each is updated, how it does, and the database that is made from them."""
