"""The tables: a module for each folder of `store/` that queries them.

`store` has the tables of what lies directly in it. Columns have the names and meanings of the fields that they hold;
null means "not yet". `seq` is the order in which rows were inserted. A change here needs a revision in
`migrations/versions`; a test compares the two.
"""
